import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createImageStore, type ImageStore } from '../src/images/image-store.ts';
import { ImageUnavailableError } from '../src/images/image-unavailable.ts';
import { nameLocalImage } from '../src/images/local-images.ts';
import { makeImage } from '../src/images/make-image.ts';
import { StoreFolder } from '../src/images/store-folder.ts';
import { pruneImages } from '../src/images/stored-images.ts';
import { nodePath } from '../src/setup/repository.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { startFaultyRegistry } from '../src/testing/faulty-registry.ts';
import { usersOf } from '../src/testing/folder-users.ts';
import { type LayerEntry, layerOf } from '../src/testing/layers.ts';
import { writeOciImage } from '../src/testing/oci-image.ts';
import {
  extractErofs,
  push,
  pushImage,
  pushIndex,
  startRegistry,
  type TestRegistry,
} from './image-registry.ts';

/** Resolves an image, says so, and holds it for as long as its input stays open. */
const resolver = join(import.meta.dirname, 'fixtures/image-resolver.ts');
let folder: string;
let registry: TestRegistry;
let cacheDirectory: string;
let images: ImageStore;
const withPulumi = { 'opt/pulumi/pulumi': '#!/bin/sh\necho v0\n', 'etc/greeting': 'hello' };
const environment = ['PATH=/opt/pulumi:/bin', 'GREETING=a=b'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-images-'));
  registry = await startRegistry(join(folder, 'registry'));
  await pushImage(folder, `${registry.host}/team/program:1`, withPulumi, { environment });
  await pushImage(folder, `${registry.host}/team/empty:1`, { 'etc/greeting': 'hello' });
  await pushImage(folder, `${registry.host}/team/arm:1`, withPulumi, { environment, architecture: 'arm64' });
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
  images = createImageStore({ cacheDirectory });
});

/** Where the device of an image lies. */
function deviceOf(digest: string, repository: string): string {
  return new StoreFolder(cacheDirectory).device(digest, repository);
}

/** The error of a reference that cannot be used. */
async function unavailable(reference: string): Promise<ImageUnavailableError> {
  const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
  if (!(error instanceof ImageUnavailableError)) throw new Error(`expected a refusal, got ${String(error)}`);
  expect(error.runCause).toBe('image-unavailable');
  expect(error.message).toContain(`"${reference}"`);
  return error;
}

describe('an image of a registry', () => {
  test('is pulled by its tag and becomes a read-only device with its files and variables', async () => {
    const reference = `${registry.host}/team/program:1`;
    const image = await images.resolve(reference);
    expect(image.reference).toBe(reference);
    const digest = await runCommand([
      'skopeo',
      'inspect',
      '--tls-verify=false',
      '--format',
      '{{.Digest}}',
      `docker://${reference}`,
    ]);
    expect(image.digest).toBe(digest.trim());
    expect(image.config.environment).toEqual({ PATH: '/opt/pulumi:/bin', GREETING: 'a=b' });
    const extracted = join(cacheDirectory, 'extracted');
    await extractErofs(image.erofsPath, extracted);
    expect(await readFile(join(extracted, 'etc/greeting'), 'utf8')).toBe('hello');
    const program = await stat(join(extracted, 'opt/pulumi/pulumi'));
    expect(program.mode & 0o777).toBe(0o755);
    expect(program.uid).toBe(0);
    const made = await stat(image.erofsPath);
    expect(made.mode & 0o222).toBe(0);
  });

  test('leaves nothing but its device, a record and its layers in the cache', async () => {
    const { digest } = await images.resolve(`${registry.host}/team/program:1`);
    const names = await readdir(deviceOf(digest, `${registry.host}/team/program`));
    expect(names.sort()).toEqual(['image.json', 'root.erofs']);
    expect((await readdir(join(cacheDirectory, 'images'))).sort()).toEqual(['devices', 'holders', 'layers']);
    expect(await readdir(join(cacheDirectory, 'images/layers'))).toHaveLength(1);
  });

  test('is named by its digest too, and then needs no registry once it is here', async () => {
    const { digest } = await images.resolve(`${registry.host}/team/program:1`);
    const before = registry.requests(/./);
    const again = await images.resolve(`${registry.host}/team/program:ignored@${digest}`);
    expect(again.digest).toBe(digest);
    // Nor does the next process.
    const next = createImageStore({ cacheDirectory });
    expect((await next.resolve(`${registry.host}/team/program@${digest}`)).digest).toBe(digest);
    expect(registry.requests(/./)).toBe(before);
  });

  test('is pulled by digest alone', async () => {
    const { digest } = await images.resolve(`${registry.host}/team/program:1`);
    const other = createImageStore({ cacheDirectory: await mkdtemp(join(folder, 'cache-')) });
    expect((await other.resolve(`${registry.host}/team/program@${digest}`)).digest).toBe(digest);
  });

  test('is looked up again by its tag, and a moved tag gives the new content', async () => {
    const reference = `${registry.host}/team/moving:latest`;
    await pushImage(folder, reference, { ...withPulumi, 'etc/greeting': 'first' }, { environment });
    const first = await images.resolve(reference);
    await pushImage(folder, reference, { ...withPulumi, 'etc/greeting': 'second' }, { environment });
    const second = await images.resolve(`${registry.host}/team/moving`);
    expect(second.digest).not.toBe(first.digest);
  });
});

test('an image is stored once, however the name of its repository is spelled', async () => {
  const { port } = new URL(`http://${registry.host}`);
  const before = registry.requests(/program\/blobs/);
  for (const host of ['localhost', 'LocalHost']) await images.resolve(`${host}:${port}/team/program:1`);
  expect(registry.requests(/program\/blobs/) - before).toBe(2); // The configuration and the one layer.
  const devices = await readdir(join(cacheDirectory, 'images/devices'));
  expect(devices.filter((name) => !name.endsWith('.lock'))).toHaveLength(1);
});

test('an image for several platforms is pulled for this one, and refused with their names when it is not among them', async () => {
  const repository = `${registry.host}/team/program`;
  const digests = {
    amd64: await manifestOf(`${registry.host}/team/program:1`),
    arm64: await copyManifest(`${registry.host}/team/arm:1`, `${repository}:arm64`),
  };
  await pushIndex(repository, 'both', [
    { architecture: 'arm64', ...digests.arm64 },
    { architecture: 'amd64', ...digests.amd64 },
  ]);
  await pushIndex(repository, 'arm-only', [{ architecture: 'arm64', ...digests.arm64 }]);
  expect((await images.resolve(`${repository}:both`)).digest).toBe(digests.amd64.digest);
  // That it is here is known by its digest, which the tag's index says.
  const asked = registry.requests(/\/manifests\//);
  expect((await images.resolve(`${repository}:both`)).digest).toBe(digests.amd64.digest);
  expect(registry.requests(/\/manifests\//)).toBe(asked + 1);
  const { digest: both } = await manifestOf(`${repository}:both`);
  expect((await images.resolve(`${repository}@${both}`)).digest).toBe(digests.amd64.digest);
  const before = registry.requests(/./);
  expect((await images.resolve(`${repository}@${both}`)).digest).toBe(digests.amd64.digest);
  expect(registry.requests(/./)).toBe(before);
  const error = await unavailable(`${repository}:arm-only`);
  expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
});

/** Digest and size of a manifest in the registry. */
async function manifestOf(reference: string): Promise<{ digest: string; size: number }> {
  const raw = await runCommand(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  const size = Buffer.byteLength(raw);
  return { digest: `sha256:${createHash('sha256').update(raw).digest('hex')}`, size };
}

async function copyManifest(from: string, to: string): Promise<{ digest: string; size: number }> {
  const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await runCommand(['skopeo', 'copy', ...tls, `docker://${from}`, `docker://${to}`]);
  return manifestOf(to);
}

describe('conversion', () => {
  test('happens once when several callers want the same image at the same time, in several processes', async () => {
    const reference = `${registry.host}/team/once:1`;
    await pushImage(folder, reference, { ...withPulumi, 'etc/only-here': 'once' }, { environment });
    const digests = await Promise.all([
      images.resolve(reference).then(({ digest }) => digest),
      images.resolve(reference).then(({ digest }) => digest),
      runCommand([nodePath, resolver, cacheDirectory, reference]).then((text) => text.trim()),
    ]);
    expect(new Set(digests).size).toBe(1);
    expect(registry.requests(/once\/blobs\/sha256/)).toBe(2); // The configuration and the one layer.
  });

  describe('that was killed', () => {
    const resolving = (reference: string) =>
      spawn(nodePath, [resolver, cacheDirectory, reference], { stdio: ['pipe', 'pipe', 'inherit'] });
    const kill = async (killed: ChildProcess) => {
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      await vi.waitFor(() => expect(usersOf(cacheDirectory)).toEqual([]));
    };
    const devices = () => readdir(join(cacheDirectory, 'images/devices'));

    /** Somebody who wants another image finds the remains, and removes them. */
    const expectCleanedBy = async (store: ImageStore) => {
      await store.resolve(`${registry.host}/team/program:1`);
      expect((await devices()).filter((name) => !/^sha256-[0-9a-f]{64}(\.lock)?$/.test(name))).toEqual([]);
      expect(await readdir(join(cacheDirectory, 'images/holders'))).toHaveLength(1);
    };

    test('while it was fetched leaves nobody at work and nothing half-made', async () => {
      await using faulty = await startFaultyRegistry(registry.host);
      faulty.fail(/program\/blobs/, [{ stallAfterBytes: 100 }], true);
      const killed = resolving(`${faulty.host}/team/program:1`);
      await vi.waitFor(
        () => expect(faulty.asked.some((path) => path.includes('/blobs/'))).toBe(true),
        10_000,
      );
      await kill(killed);
      expect(await devices()).toContainEqual(expect.stringMatching(/\.partial$/));
      await expectCleanedBy(images);
    });

    test('while it was converted leaves nobody at work and nothing half-made', async () => {
      const repository = `${registry.host}/team/slow`;
      const reference = `${repository}:1`;
      const layer = layerOf([
        { file: 'usr/bin/pulumi', mode: 0o755 },
        { file: 'zeros', content: Buffer.alloc(300 << 20) },
      ]);
      const { digest } = await push(folder, reference, { layers: [layer] });
      const killed = resolving(reference);
      const partial = `${deviceOf(digest, repository)}.partial`;
      await vi.waitFor(() => expect(existsSync(join(partial, 'root.erofs'))).toBe(true), 10_000);
      await kill(killed);
      expect(await readdir(partial)).not.toContain('image.json');
      await expectCleanedBy(images);
      expect((await images.resolve(reference)).digest).toBe(digest);
    });

    test('at any moment leaves a whole device or none', async () => {
      const repository = `${registry.host}/team/many`;
      const reference = `${repository}:1`;
      const file = (index: number): LayerEntry => ({ file: `file-${index}`, content: randomBytes(40_000) });
      const layers = [0, 1, 2].map((layer) =>
        layerOf([
          { file: 'usr/bin/pulumi', mode: 0o755, content: String(layer) },
          ...Array.from({ length: 200 }, (_, index) => file(index)),
        ]),
      );
      const { digest } = await push(folder, reference, { layers });
      const device = deviceOf(digest, repository);
      const startedAt = performance.now();
      const whole = resolving(reference);
      await once(whole.stdout, 'data');
      const milliseconds = performance.now() - startedAt;
      await kill(whole);
      const moments = 6;
      for (let moment = 1; moment < moments; moment += 1) {
        await rm(device, { recursive: true, force: true });
        await rm(join(cacheDirectory, 'images/layers'), { recursive: true, force: true });
        const killed = resolving(reference);
        await new Promise((resolve) => setTimeout(resolve, (milliseconds * moment) / moments));
        await kill(killed);
        if (!existsSync(device)) continue;
        await runCommand(['fsck.erofs', join(device, 'root.erofs')]);
        expect(JSON.parse(await readFile(join(device, 'image.json'), 'utf8'))).toMatchObject({ digest });
      }
      await expectCleanedBy(images);
      expect((await images.resolve(reference)).digest).toBe(digest);
    });
  });
});

describe('the store', () => {
  const sizeMiB = 4;
  /** An image of 4 MiB that is a layer of as many, and another one that all of them share. */
  const pushSized = async (name: string) => {
    const repository = `${registry.host}/sized`;
    const reference = `${repository}:${name}`;
    const own = layerOf([{ file: name, content: randomBytes(sizeMiB << 20) }]);
    const { digest } = await push(folder, reference, { layers: [base, own] });
    return { reference, device: deviceOf(digest, repository) };
  };
  const base = layerOf([
    { file: 'usr/bin/pulumi', mode: 0o755, content: 'x' },
    { file: 'base', content: randomBytes(50_000) },
  ]);
  const storeOf = (mebibytes: number) =>
    createImageStore({ cacheDirectory, limitBytes: mebibytes * 2 ** 20 });

  test('fetches a layer once that several images of a repository have', async () => {
    const before = registry.requests(/sized\/blobs/);
    const [one, two] = [await pushSized('one'), await pushSized('two')];
    await images.resolve(one.reference);
    await images.resolve(two.reference);
    // Of each the configuration and its own layer; of the first the shared one too.
    expect(registry.requests(/sized\/blobs/) - before).toBe(5);
  });

  test('removes what was not used for the longest time when it grows beyond its limit, layers first', async () => {
    const [a, b, c] = [await pushSized('a'), await pushSized('b'), await pushSized('c')];
    const store = storeOf(2 * sizeMiB + 1);
    for (const { reference } of [a, b, a]) await (await store.resolve(reference)).release();
    expect([existsSync(a.device), existsSync(b.device)]).toEqual([true, true]);
    await (await store.resolve(c.reference)).release();
    expect([existsSync(a.device), existsSync(b.device), existsSync(c.device)]).toEqual([true, false, true]);
    expect(await readdir(join(cacheDirectory, 'images/layers'))).toEqual([]);
    expect(
      (await readdir(join(cacheDirectory, 'images/devices'))).filter((name) => name.startsWith('removed')),
    ).toEqual([]);
  });

  test('fetches nothing ahead of time when that is all but full, and says what to do; a run gets it all the same', async () => {
    const [here, wanted] = [await pushSized('here'), await pushSized('ahead')];
    const store = storeOf(2 * sizeMiB + 0.75);
    const ahead = (reference: string) => store.resolve(reference, { isAheadOfTime: true });
    await (await ahead(here.reference)).release();
    const refused = await ahead(wanted.reference).catch(String);
    expect(refused).toMatch(/ahead": it waits for a run .* nearly full .*--image-cache-gib.*image prune/);
    expect(existsSync(wanted.device)).toBe(false);
    // Neither is what is here refused, nor what a run wants.
    await (await ahead(here.reference)).release();
    await (await store.resolve(wanted.reference)).release();
    expect(existsSync(wanted.device)).toBe(true);
  });

  test('never removes what is in use, here or in another process, until it is released or its user has died', async () => {
    const [a, b, c] = [await pushSized('used-a'), await pushSized('used-b'), await pushSized('used-c')];
    const store = storeOf(1);
    const held = await store.resolve(a.reference);
    const other = spawn(nodePath, [resolver, cacheDirectory, b.reference], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(other.stdout, 'data');
    const last = await store.resolve(c.reference);
    expect([existsSync(a.device), existsSync(b.device), existsSync(c.device)]).toEqual([true, true, true]);
    await last.release();
    await vi.waitFor(() => expect(existsSync(c.device)).toBe(false), 5_000);
    expect([existsSync(a.device), existsSync(b.device)]).toEqual([true, true]);
    expect((await stat(held.erofsPath)).size).toBeGreaterThan(sizeMiB << 20);

    other.kill('SIGKILL');
    await once(other, 'exit');
    await held.release();
    await held.release();
    await vi.waitFor(
      () => expect([existsSync(a.device), existsSync(b.device)]).toEqual([false, false]),
      5_000,
    );
  });

  test('holds what it was asked for while others remove all that they can', async () => {
    const wanted = await Promise.all(['race-a', 'race-b', 'race-c'].map(pushSized));
    const stores = [storeOf(1), storeOf(1), storeOf(1)];
    await Promise.all(
      stores.map(async (store, index) => {
        for (let round = 0; round < 4; round += 1) {
          const held = await store.resolve(wanted[(index + round) % 3]?.reference ?? '');
          await runCommand(['fsck.erofs', held.erofsPath]);
          await held.release();
        }
      }),
    );
  });

  test('keeps what was built on this host, which nobody could fetch again, until it is told otherwise', async () => {
    const built = new StoreFolder(cacheDirectory);
    const layout = join(cacheDirectory, 'layout');
    const { digest } = await writeOciImage(layout, { layers: [base] });
    const image = { reference: 'localhost/built:1', digest, repository: null, isOpen: false };
    await makeImage(built, image, async () => ({ layout, blobs: join(layout, 'blobs') }));
    await nameLocalImage(built, image.reference, digest);
    const fetched = await pushSized('beside');
    const store = storeOf(1);
    await (await store.resolve(fetched.reference)).release();
    await vi.waitFor(() => expect(existsSync(fetched.device)).toBe(false), 5_000);
    await pruneImages(cacheDirectory, { all: false });
    await (await store.resolve(image.reference)).release();
    await pruneImages(cacheDirectory, { all: true });
    await expect(store.resolve(image.reference)).rejects.toThrow(
      'build it again with `./slipway image build`',
    );
  });

  test('gives an image of a name of its own back after it was closed', async () => {
    const { reference, device } = await pushSized('closed');
    const store = storeOf(100);
    await store.resolve(reference);
    expect((await stat(join(device, 'root.erofs'))).nlink).toBe(2);
    await store.close();
    expect((await stat(join(device, 'root.erofs'))).nlink).toBe(1);
  });
});

describe('an image that no run could use is refused with its name and the remedy', () => {
  test('when its platform is another', async () => {
    const error = await unavailable(`${registry.host}/team/arm:1`);
    expect(error.message).toContain('image is linux/arm64, this runner is linux/amd64');
  });

  test('when it has no pulumi', async () => {
    const error = await unavailable(`${registry.host}/team/empty:1`);
    expect(error.message).toContain('no `pulumi` on its PATH; install the Pulumi CLI');
    const devices = await readdir(join(cacheDirectory, 'images/devices'));
    expect(devices.filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  test('when its pulumi is a link to a program of the host', async () => {
    const reference = `${registry.host}/team/escape:1`;
    await pushImage(folder, reference, {}, { links: { 'usr/bin/pulumi': nodePath } });
    expect((await unavailable(reference)).message).toContain('no `pulumi` on its PATH');
  });

  test('when the registry does not have it', async () => {
    expect((await unavailable(`${registry.host}/team/program:2`)).message).toContain('does not have it');
    expect((await unavailable(`${registry.host}/nobody/nothing`)).message).toContain('does not have it');
  });

  test('when the registry does not answer', async () => {
    expect((await unavailable('127.0.0.1:1/team/program:1')).message).toContain('cannot be reached');
  });

  test('when it was never built here', async () => {
    expect((await unavailable('localhost/slipway/other:1')).message).toContain('./slipway image build');
  });

  test.each([
    '',
    '--help',
    'a b',
    'UPPER/case',
    'name@sha256:12',
    'x'.repeat(600),
    'docker://a/b',
    'a/b:c d',
  ])('when "%s" is not a reference', async (reference) => {
    const error = await images.resolve(reference).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ImageUnavailableError);
    expect(String(error)).toContain('not an image reference');
  });
});
