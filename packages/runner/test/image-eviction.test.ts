import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { createImageStore, type ImageStore } from '../src/images/image-store.ts';
import { nameLocalImage } from '../src/images/local-images.ts';
import { makeImage } from '../src/images/make-image.ts';
import { StoreFolder } from '../src/images/store-folder.ts';
import { pruneImages } from '../src/images/stored-images.ts';
import { nodePath } from '../src/setup/repository.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { layerOf } from '../src/testing/layers.ts';
import { writeOciImage } from '../src/testing/oci-image.ts';
import { push } from './image-registry.ts';
import { imageResolver, useImageSetting } from './image-setting.ts';

const given = useImageSetting();

describe('the store', () => {
  const sizeMiB = 4;
  /** An image of 4 MiB that is a layer of as many, and another one that all of them share. */
  const pushSized = async (name: string, bytes = sizeMiB << 20) => {
    const repository = `${given.registry.host}/sized`;
    const reference = `${repository}:${name}`;
    const own = layerOf([{ file: name, content: randomBytes(bytes) }]);
    const { digest } = await push(given.folder, reference, { layers: [base, own] });
    return { reference, device: new StoreFolder(given.cacheDirectory).device(digest, repository) };
  };
  const base = layerOf([
    { file: 'usr/bin/pulumi', mode: 0o755, content: 'x' },
    { file: 'base', content: randomBytes(50_000) },
  ]);
  const storeOf = (mebibytes: number) =>
    createImageStore({ cacheDirectory: given.cacheDirectory, limitBytes: mebibytes * 2 ** 20 });

  test('fetches a layer once that several images of a repository have', async () => {
    const before = given.registry.requests(/sized\/blobs/);
    const [one, two] = [await pushSized('one'), await pushSized('two')];
    await given.images.resolve(one.reference);
    await given.images.resolve(two.reference);
    // Of each the configuration and its own layer; of the first the shared one too.
    expect(given.registry.requests(/sized\/blobs/) - before).toBe(5);
  });

  test('removes what was not used for the longest time when it grows beyond its limit, layers first', async () => {
    const [a, b, c] = [await pushSized('a'), await pushSized('b'), await pushSized('c')];
    const store = storeOf(2 * sizeMiB + 1);
    for (const { reference } of [a, b, a]) await (await store.resolve(reference)).release();
    expect([existsSync(a.device), existsSync(b.device)]).toEqual([true, true]);
    await (await store.resolve(c.reference)).release();
    expect([existsSync(a.device), existsSync(b.device), existsSync(c.device)]).toEqual([true, false, true]);
    expect(await readdir(join(given.cacheDirectory, 'images/layers'))).toEqual([]);
    expect(
      (await readdir(join(given.cacheDirectory, 'images/devices'))).filter((name) =>
        name.startsWith('removed'),
      ),
    ).toEqual([]);
  });

  /** Resolves images that no run wants yet, sparing others by their references. */
  const aheadIn =
    (store: ImageStore) =>
    (image: { reference: string }, ...spared: { reference: string }[]) =>
      store.resolve(image.reference, {
        aheadOfTime: { spares: ({ reference }) => spared.some((each) => each.reference === reference) },
      });

  test('full of what no run has used for the longest time, makes room ahead of time for what will be wanted', async () => {
    const [a, b] = [await pushSized('full-a'), await pushSized('full-b')];
    const [c, d] = [await pushSized('full-c'), await pushSized('full-d')];
    const store = storeOf(2 * sizeMiB + 1);
    for (const { reference } of [a, b, c]) await (await store.resolve(reference)).release();
    expect([a, b, c].map(({ device }) => existsSync(device))).toEqual([false, true, true]);
    await (await aheadIn(store)(d, b)).release();
    expect([b, c, d].map(({ device }) => existsSync(device))).toEqual([true, false, true]);
  });

  test('removes nothing ahead of time where that does not make room enough, and says what to do; a run gets it all the same', async () => {
    const [small, used] = [await pushSized('small', 1 << 16), await pushSized('used')];
    const [here, wanted] = [await pushSized('here'), await pushSized('ahead')];
    const store = storeOf(2 * sizeMiB + 0.75);
    const ahead = aheadIn(store);
    await (await ahead(small)).release();
    const held = await ahead(used);
    await (await ahead(here)).release();
    const refused = await ahead(wanted, here).catch(String);
    expect(refused).toMatch(/ahead": it waits for a run .* nearly full .*--image-cache-gib/);
    const isThere = [small, used, here, wanted].map(({ device }) => existsSync(device));
    expect(isThere).toEqual([true, true, true, false]);
    await held.release();
    // Neither is what is here refused, nor what a run wants.
    await (await ahead(here)).release();
    await (await store.resolve(wanted.reference)).release();
    expect(existsSync(wanted.device)).toBe(true);
  });

  test('never removes what is in use, here or in another process, until it is released or its user has died', async () => {
    const [a, b, c] = [await pushSized('used-a'), await pushSized('used-b'), await pushSized('used-c')];
    const store = storeOf(1);
    const held = await store.resolve(a.reference);
    const other = spawn(nodePath, [imageResolver, given.cacheDirectory, b.reference], {
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
    const wanted = await Promise.all(['race-a', 'race-b', 'race-c'].map((name) => pushSized(name)));
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
    const built = new StoreFolder(given.cacheDirectory);
    const layout = join(given.cacheDirectory, 'layout');
    const { digest } = await writeOciImage(layout, { layers: [base] });
    const image = { reference: 'localhost/built:1', digest, repository: null, isOpen: false };
    await makeImage(built, image, async () => ({ layout, blobs: join(layout, 'blobs') }));
    await nameLocalImage(built, image.reference, digest);
    const fetched = await pushSized('beside');
    const store = storeOf(1);
    await (await store.resolve(fetched.reference)).release();
    await vi.waitFor(() => expect(existsSync(fetched.device)).toBe(false), 5_000);
    await pruneImages(given.cacheDirectory, { all: false });
    await (await store.resolve(image.reference)).release();
    await pruneImages(given.cacheDirectory, { all: true });
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
