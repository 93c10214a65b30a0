import { readFileSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LayerEntry, layerOf, pack, tarOf } from '../src/testing/layers.ts';
import { attributesOf, contentsOf } from './folder-contents.ts';
import { pulumi, TestConversion } from './test-conversion.ts';

let conversion: TestConversion;
beforeEach(async () => {
  conversion = await TestConversion.create();
});
afterEach(() => conversion[Symbol.asyncDispose]());

describe('layers become the file system that umoci makes of them:', () => {
  const cases: Readonly<Record<string, readonly (readonly LayerEntry[])[]>> = {
    'files, folders and links of every kind, with owners, modes and times': [
      [
        { folder: '.', mode: 0o755, modifiedAt: 1_600_000_000 },
        ...pulumi,
        { folder: 'home', owner: [1000, 1000], mode: 0o700 },
        {
          file: 'home/notes',
          content: 'hello',
          owner: [1000, 100],
          mode: 0o600,
          modifiedAt: 1_500_000_000.25,
        },
        { file: 'home/large-ids', owner: [3_000_000_000, 4_000_000_000] },
        { file: 'usr/bin/su', content: 'x', mode: 0o4755 },
        { file: 'usr/bin/wall', content: 'x', mode: 0o2755, owner: [0, 5] },
        { folder: 'tmp', mode: 0o1777 },
        { symbolicLink: 'bin', target: 'usr/bin' },
        { symbolicLink: 'home/absolute', target: '/usr/bin/pulumi' },
        { symbolicLink: 'home/long', target: `${'deep/'.repeat(100)}end` },
        { hardLink: 'home/again', target: 'home/notes' },
        { device: 'null', major: 1, minor: 3, mode: 0o666 },
        { device: 'far', major: 511, minor: 70_000 },
        { fifo: 'pipe', mode: 0o640 },
      ],
    ],
    'contents of every size around a block': [
      [
        ...pulumi,
        ...[0, 1, 2047, 2048, 2049, 4031, 4032, 4033, 4095, 4096, 4097, 8192, 100_000, 3_000_000].map(
          (bytes): LayerEntry => ({ file: `of-${bytes}`, content: Buffer.alloc(bytes, `${bytes} `) }),
        ),
      ],
    ],
    'names of every length and of bytes that are no text': [
      [
        ...pulumi,
        { folder: 'long' },
        { file: `long/${'n'.repeat(255)}`, content: 'n' },
        { file: 'long/\xff\xfe', content: 'bytes' },
        { file: 'long/a b\nc', content: 'spaces' },
        { file: `long/${Buffer.from('größe').toString('latin1')}`, content: 'utf-8' },
        ...Array.from(
          { length: 30 },
          (_, depth): LayerEntry => ({ folder: 'deep/'.repeat(depth + 1).slice(0, -1) }),
        ),
        { file: `${'deep/'.repeat(30)}end`, content: 'end' },
      ],
    ],
    'a folder of many names': [
      [
        ...pulumi,
        { folder: 'many' },
        ...Array.from(
          { length: 700 },
          (_, index): LayerEntry => ({
            file: `many/${'name'.repeat(index % 20)}-${index}`,
            content: String(index),
          }),
        ),
      ],
    ],
    'extended attributes, capabilities among them': [
      [
        ...pulumi,
        {
          file: 'usr/bin/ping',
          mode: 0o755,
          attributes: {
            'user.note': 'of a user',
            'user.empty': '',
            'user.large': 'x'.repeat(3000),
            'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
          },
        },
        { folder: 'marked', attributes: { 'user.folder': 'yes' } },
      ],
    ],
    'a later layer replaces, of whatever kind, and adds to folders': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/file', content: 'old' },
        { folder: 'a/folder' },
        { file: 'a/folder/inside', content: 'old' },
        { symbolicLink: 'a/link', target: 'file' },
        { file: 'a/kept', content: 'kept' },
        { file: 'a/big', content: Buffer.alloc(10_000, 'o') },
      ],
      [
        { folder: 'a', mode: 0o711, owner: [7, 8] },
        { folder: 'a/file' },
        { file: 'a/file/inside', content: 'new' },
        { file: 'a/folder', content: 'now a file' },
        { file: 'a/link', content: 'now a file' },
        { file: 'a/big', content: Buffer.alloc(9_000, 'n') },
      ],
    ],
    'whiteouts hide what lower layers have, and nothing of their own': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/gone', content: 'x' },
        { file: 'a/both', content: 'x' },
        { file: 'a/both-too', content: 'x' },
        { file: 'a/kept', content: 'x' },
        { folder: 'a/folder' },
        { file: 'a/folder/gone', content: 'x' },
        { symbolicLink: 'a/link', target: 'kept' },
      ],
      [
        { folder: 'a' },
        { file: 'a/.wh.gone' },
        { file: 'a/.wh.folder' },
        { file: 'a/.wh.link' },
        { file: 'a/.wh.never-there' },
        { file: 'a/both', content: 'new' },
        { file: 'a/.wh.both' },
        { file: 'a/.wh.both-too' },
        { file: 'a/both-too', content: 'new' },
        { folder: 'a/new' },
        { file: 'a/new/file', content: 'new' },
      ],
    ],
    'an opaque folder hides all that lower layers have in it, and nothing of its own': [
      [
        ...pulumi,
        { folder: 'a' },
        { folder: 'a/b' },
        { file: 'a/b/gone', content: 'x' },
        { folder: 'a/b/c' },
        { file: 'a/b/c/gone', content: 'x' },
        { file: 'a/kept', content: 'x' },
      ],
      [
        { folder: 'a' },
        { folder: 'a/b', mode: 0o750 },
        { file: 'a/b/.wh..wh..opq' },
        { file: 'a/b/own', content: 'own' },
      ],
    ],
    'hard links across layers, and after one of their names is gone': [
      [
        ...pulumi,
        { folder: 'a' },
        { file: 'a/one', content: 'shared' },
        { hardLink: 'a/two', target: 'a/one' },
      ],
      [{ folder: 'a' }, { hardLink: 'a/three', target: 'a/two' }],
      [{ folder: 'a' }, { file: 'a/.wh.one' }],
    ],
    'entries below links of lower layers land where the links lead, within the image': [
      [
        ...pulumi,
        { folder: 'real' },
        { symbolicLink: 'link', target: 'real' },
        { symbolicLink: 'up', target: '../../../../real' },
        { folder: 'deep' },
        { symbolicLink: 'deep/etc', target: '/real' },
      ],
      [
        { file: 'link/one', content: '1' },
        { file: 'up/two', content: '2' },
        { file: 'deep/etc/three', content: '3' },
        { file: '../../../four', content: '4' },
        { file: '/five', content: '5' },
        { hardLink: 'real/six', target: 'link/one' },
      ],
    ],
    'a hundred layers': Array.from({ length: 100 }, (_, layer) => [
      ...(layer === 0 ? pulumi : []),
      { file: `of-layer-${layer}`, content: String(layer) },
      { file: 'last', content: `written by ${layer}` },
      ...(layer % 3 === 2 ? [{ file: `.wh.of-layer-${layer - 1}` }] : []),
    ]),
  };
  test.each(Object.entries(cases))('%s', async (_what, layers) => {
    const packed = layers.map((entries) => layerOf(entries));
    await conversion.convert(packed);
    const reference = await conversion.unpackedByUmoci(packed);
    expect(await conversion.mounted(contentsOf)).toEqual(reference);
  });

  test('layers that are not packed, and those packed with zstd in one frame or several', async () => {
    const entries: LayerEntry[] = [...pulumi, { file: 'file', content: Buffer.alloc(500_000, 'content') }];
    const tar = tarOf(entries);
    const frames = [tar.subarray(0, 100_000), tar.subarray(100_000)].map((part) => pack(part, 'zstd'));
    const skipped = Buffer.from('502a4d180400000000000000', 'hex');
    const reference = await conversion.unpackedByUmoci([layerOf(entries)]);
    for (const layer of [
      tar,
      pack(tar, 'zstd'),
      Buffer.concat(frames),
      Buffer.concat([skipped, ...frames]),
    ]) {
      await rm(conversion.device, { force: true });
      await conversion.convert([layer]);
      expect(await conversion.mounted(contentsOf)).toEqual(reference);
    }
  });

  test('random layers over one another', async () => {
    const layers = randomLayers(20_261_124).map((entries) => layerOf(entries));
    await conversion.convert(layers);
    expect(await conversion.mounted(contentsOf)).toEqual(await conversion.unpackedByUmoci(layers));
  });
});

/** Eight layers that write, link, replace and hide in a few folders, the same ones for the same seed. */
function randomLayers(seed: number): LayerEntry[][] {
  let state = seed;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const folders = ['a', 'a/b', 'a/b/c', 'd'];
  return Array.from({ length: 8 }, (_, layer) => {
    const entries: LayerEntry[] = layer === 0 ? [...pulumi] : [];
    entries.push(...folders.map((name): LayerEntry => ({ folder: name, mode: 0o700 + below(64) })));
    const taken = new Set<string>();
    const files: string[] = [];
    for (let index = 0; index < 40; index += 1) {
      const parent = folders[below(folders.length)];
      const name = `f${below(12)}`;
      const path = `${parent}/${name}`;
      if (taken.has(path)) continue;
      taken.add(path);
      const [target] = files;
      const kind = below(layer === 0 ? 3 : 5);
      if (kind === 0) entries.push({ symbolicLink: path, target: `f${below(12)}` });
      else if (kind === 1 && target) entries.push({ hardLink: path, target });
      else if (kind === 4) entries.push({ file: `${parent}/.wh.${name}` });
      else {
        files.push(path);
        entries.push({ file: path, content: Buffer.alloc(below(9000), name), owner: [below(3), below(3)] });
      }
    }
    return entries;
  });
}

test('attributes that would steer the host, and nothing else, are left out', async () => {
  const attributes = {
    'user.kept': 'yes',
    'trusted.overlay.opaque': 'y',
    'trusted.other': 'x',
    'odd.prefix': 'x',
  };
  await conversion.convert([layerOf([...pulumi, { folder: 'a', attributes }])]);
  const found = await conversion.mounted(attributesOf);
  expect(found.get('/a')).toBe('user.kept=0x796573');
});

test('a file that a later layer writes anew takes its place in the device', async () => {
  const version = (letter: string) =>
    layerOf([...pulumi, { file: 'large', content: Buffer.alloc(4 << 20, letter) }]);
  await conversion.convert(['a', 'b', 'c', 'd', 'e'].map(version));
  expect((await stat(conversion.device)).size).toBeLessThan(5 << 20);
  expect(await conversion.mounted((root) => readFileSync(join(root, 'large'), 'latin1').slice(0, 3))).toBe(
    'eee',
  );
});
