import { existsSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { usualLimits } from '../src/images/convert/limits.ts';
import {
  headerBlock,
  type LayerEntry,
  layerOf,
  pack,
  paxBlocks,
  paxRecord,
  tarOf,
} from '../src/testing/layers.ts';
import { pulumi, TestConversion } from './test-conversion.ts';

let conversion: TestConversion;
beforeEach(async () => {
  conversion = await TestConversion.create();
});
afterEach(() => conversion[Symbol.asyncDispose]());

describe('a layer that would fill the disk is stopped, with its name and the limit:', () => {
  const refusal = async (layers: readonly Buffer[], limits: Partial<typeof usualLimits>) => {
    const error = await conversion.convert(layers, limits).catch((thrown: unknown) => thrown);
    if (!(error instanceof Error)) throw new Error('it was not refused');
    expect(error.message).toContain('"the-image"');
    return error.message;
  };
  const bytesOnDisk = async () =>
    existsSync(conversion.device) ? (await stat(conversion.device)).blocks * 512 : 0;

  test.each(['gzip', 'zstd'] as const)(
    'one of a few kilobytes that unpacks to 256 MiB (%s)',
    async (packing) => {
      const bytes = 256 << 20;
      const layer = pack(
        Buffer.concat([headerBlock({ name: 'zeros', type: '0', size: bytes }), Buffer.alloc(bytes)]),
        packing,
      );
      expect(layer.length).toBeLessThan(2 << 20);
      expect(await refusal([layer], { unpackedBytes: 64 << 20 })).toMatch(
        /unpack to more than the 0\.1 GiB allowed/,
      );
      expect(await bytesOnDisk()).toBeLessThan(80 << 20);
    },
  );

  test('several that are too much together', async () => {
    const layer = layerOf([...pulumi, { file: 'zeros', content: Buffer.alloc(30 << 20) }]);
    expect(await refusal([layer, layer, layer], { unpackedBytes: 64 << 20 })).toMatch(/unpack to more/);
  });

  test('one of very many files', async () => {
    const entries = Array.from({ length: 2000 }, (_, index): LayerEntry => ({ file: `f${index}` }));
    expect(await refusal([layerOf(entries)], { entries: 1000 })).toMatch(/more than the 1000 files allowed/);
  });

  test('one of very many folders in a single name', async () => {
    const entries: LayerEntry[] = [{ file: `${'d/'.repeat(1500)}f` }];
    expect(await refusal([layerOf(entries)], { entries: 1000 })).toMatch(/more than the 1000 files allowed/);
  });

  test('one of very large attributes', async () => {
    const attributes = { 'user.large': 'x'.repeat(60_000) };
    const entries = Array.from({ length: 30 }, (_, index): LayerEntry => ({ file: `f${index}`, attributes }));
    expect(await refusal([layerOf(entries)], { metadataBytes: 1 << 20 })).toMatch(
      /more than the 1 MiB allowed/,
    );
  });

  test('a sparse file, of which a few bytes stand for many', async () => {
    const records = paxRecord('GNU.sparse.realsize', String(2 ** 50)) + paxRecord('GNU.sparse.major', '1');
    const layer = Buffer.concat([...paxBlocks(records), headerBlock({ name: 'sparse', type: '0', size: 0 })]);
    expect(await refusal([layer], {})).toContain('"sparse" is stored as a sparse file');
    await rm(conversion.device);
    expect(await refusal([headerBlock({ name: 'old', type: 'S', size: 0 })], {})).toContain(
      '"old" is stored',
    );
  });

  test('an extended header without an end', async () => {
    const layer = Buffer.concat([headerBlock({ name: 'pax', type: 'x', size: 2 ** 32 }), Buffer.alloc(4096)]);
    expect(await refusal([layer], {})).toContain('more than 1 MiB');
  });
});

describe('a layer that is none is refused:', () => {
  const whole = layerOf([...pulumi, { file: 'file', content: Buffer.alloc(100_000, 'content') }]);
  const tar = tarOf([...pulumi, { file: 'file', content: Buffer.alloc(100_000, 'content') }]);
  const damaged = Buffer.from(whole);
  damaged.fill(0x55, 100, 140);
  test.each([
    ['gzip that ends early', whole.subarray(0, 300), /damaged/],
    ['gzip with changed bytes', damaged, /damaged/],
    ['zstd that ends early', pack(tar, 'zstd').subarray(0, 100), /damaged/],
    ['tar that ends in a file', tar.subarray(0, 50_000), /ends in the middle/],
    ['tar that ends in a header', tar.subarray(0, 700), /ends in the middle/],
    ['no tar', Buffer.alloc(10_000, 'x'), /no tar archive/],
    ['a hard link to nothing', layerOf([...pulumi, { hardLink: 'a', target: 'b' }]), /hard link to "b"/],
    ['a hard link to a folder', layerOf([...pulumi, { hardLink: 'a', target: 'usr' }]), /hard link to "usr"/],
    [
      'a file below a file',
      layerOf([...pulumi, { file: 'usr/bin/pulumi/x' }]),
      /below something that is no folder/,
    ],
    ['links in a circle', layerOf([{ symbolicLink: 'a', target: 'a' }, { file: 'a/x' }]), /no folder/],
    ['a name that is too long', layerOf([{ file: 'n'.repeat(256) }]), /none that Linux knows/],
    ['a file at the root', layerOf([{ file: './' }]), /no folder|its root|no `pulumi`/],
  ])('%s', async (_what, layer, message) => {
    await expect(conversion.convert([layer])).rejects.toThrow(message);
  });
});
