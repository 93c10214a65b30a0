import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { HostDiskFull } from '../src/host-disk.ts';
import { createImageStore, type ImageStoreOptions } from '../src/images/image-store.ts';
import { ImageUnavailableError } from '../src/images/image-unavailable.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { type FaultyRegistry, startFaultyRegistry } from '../src/testing/faulty-registry.ts';
import { layerOf } from '../src/testing/layers.ts';
import type { WrittenImage } from '../src/testing/oci-image.ts';
import { push, startRegistry, type TestRegistry } from './image-registry.ts';

let folder: string;
let registry: TestRegistry;
let faulty: FaultyRegistry;
let cacheDirectory: string;
let image: WrittenImage;
const layerPath = /\/blobs\//;
const manifestPath = /\/manifests\//;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-failures-'));
  registry = await startRegistry(join(folder, 'registry'));
  const layer = layerOf([
    { file: 'usr/bin/pulumi', mode: 0o755 },
    { file: 'large', content: randomBytes(1 << 20) },
  ]);
  image = await push(folder, `${registry.host}/team/program:1`, { layers: [layer] });
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  faulty = await startFaultyRegistry(registry.host);
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
  return async () => {
    await faulty[Symbol.asyncDispose]();
  };
});

const resolve = (options: Partial<ImageStoreOptions> = {}, name = 'team/program:1') =>
  createImageStore({ cacheDirectory, ...options }).resolve(`${faulty.host}/${name}`);

/** Why the image cannot be used; nothing of it is left. */
async function refusal(options: Partial<ImageStoreOptions> = {}, name?: string): Promise<string> {
  const error = await resolve(options, name).catch((thrown: unknown) => thrown);
  if (!(error instanceof ImageUnavailableError)) throw new Error(`expected a refusal, got ${String(error)}`);
  const kept = await readdir(join(cacheDirectory, 'images/devices')).catch(() => []);
  expect(kept.filter((path) => !path.endsWith('.lock'))).toEqual([]);
  return error.message;
}

describe('a registry', () => {
  test('that asks to wait (429) is waited for', async () => {
    const wait = { status: 429, headers: { 'retry-after': '1' } };
    faulty.fail(manifestPath, [wait]);
    faulty.fail(layerPath, [wait, wait]);
    expect((await resolve()).digest).toBe(image.digest);
  });

  test('that goes on asking to wait is named, with the remedy', async () => {
    faulty.fail(manifestPath, [{ status: 429, headers: { 'retry-after': '1' } }], true);
    expect(await refusal()).toContain('"too many requests". Log in to it, or try again later.');
  });

  test('that wants a login (401) is named, with where to set it', async () => {
    const headers = { 'www-authenticate': 'Basic realm="registry"' };
    faulty.fail(/^\/v2\//, [{ status: 401, headers }], true);
    expect(await refusal()).toMatch(/refuses access.*registry credentials in the deployment settings/);
  });

  test('that refuses what it knows (403) is named', async () => {
    faulty.fail(manifestPath, [{ status: 403 }], true);
    expect(await refusal()).toContain('refuses access');
  });

  test('that does not have the digest says so, and so does one of nothing but hexadecimal digits 404 and 401', async () => {
    for (const digits of ['404', '401', '503', '429']) {
      const digest = `sha256:${digits.repeat(22).slice(0, 64)}`;
      expect(await refusal({}, `team/program@${digest}`)).toContain('does not have it');
    }
  });

  test('that fails for a moment (503) is asked again', async () => {
    faulty.fail(manifestPath, [{ status: 503 }]);
    expect((await resolve()).digest).toBe(image.digest);
  });

  test('that fails for good (500) is named', async () => {
    faulty.fail(manifestPath, [{ status: 500 }], true);
    expect(await refusal()).toContain('a fault of its own');
  });

  test('that is slow is waited for, as long as it sends something', async () => {
    faulty.fail(layerPath, [{ bytesPerSecond: 500_000 }], true);
    expect((await resolve({ stallMilliseconds: 1_000 })).digest).toBe(image.digest);
  });

  test('that stops in the middle is given up after the time set for it', async () => {
    faulty.fail(layerPath, [{ stallAfterBytes: 200_000 }], true);
    const startedAt = performance.now();
    expect(await refusal({ stallMilliseconds: 1_000 })).toContain('the registry has sent nothing for 1 s');
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test('that cuts the connection is asked again, and not for what has come already', async () => {
    const layers = ['a', 'b'].map((file) =>
      layerOf([
        { file: 'usr/bin/pulumi', mode: 0o755 },
        { file, content: randomBytes(100_000) },
      ]),
    );
    const { layers: blobs } = await push(folder, `${registry.host}/team/two:1`, { layers });
    const [first = '', second = ''] = blobs.map((path) => path.split('/').at(-1) ?? '');
    faulty.fail(new RegExp(second), [{ cutAfterBytes: 10_000 }]);
    await resolve({}, 'team/two:1');
    const times = (digest: string) => faulty.asked.filter((path) => path.includes(digest)).length;
    expect([times(first), times(second)]).toEqual([1, 2]);
  });

  test('that cuts every connection is named', async () => {
    faulty.fail(layerPath, [{ cutAfterBytes: 10_000 }], true);
    expect(await refusal()).toContain('cannot be reached');
  });

  test.each([
    ['layer', layerPath],
    ['manifest', manifestPath],
  ])('that sends another %s than its digest says is found out', async (what, path) => {
    faulty.fail(path, [{ changed: true }], true);
    const name = what === 'manifest' ? `team/program@${image.digest}` : 'team/program:1';
    expect(await refusal({}, name)).toContain('not what its digest says');
  });

  test('that sends without end is stopped', async () => {
    faulty.fail(layerPath, [{ endless: true }], true);
    expect(await refusal()).toMatch(/sends more than the manifest says/);
  });

  test('that answers no image is named', async () => {
    faulty.fail(manifestPath, [{ status: 200, body: { schemaVersion: 1, name: 'x' } }], true);
    expect(await refusal()).toContain('no image of the OCI or Docker kind');
  });
});

test('an image that would leave less than a gibibyte free is stopped, and leaves nothing', async () => {
  const layer = layerOf([
    { file: 'usr/bin/pulumi', mode: 0o755 },
    { file: 'zeros', content: Buffer.alloc(300 << 20) },
  ]);
  await push(folder, `${registry.host}/team/zeros:1`, { layers: [layer] });
  await runCommand(['mount', '-t', 'tmpfs', '-o', 'size=1100m', 'tmpfs', cacheDirectory]);
  try {
    const error = await resolve({}, 'team/zeros:1').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HostDiskFull);
    expect(String(error)).toMatch(/team\/zeros:1.*keeps 1 GiB of its disk free.*on the disk of/);
    const { bavail, bsize } = await statfs(cacheDirectory);
    expect(bavail * bsize).toBeGreaterThan(1070 << 20);
  } finally {
    await runCommand(['umount', cacheDirectory]);
  }
});
