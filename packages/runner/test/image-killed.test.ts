import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { ImageStore } from '../src/images/image-store.ts';
import { StoreFolder } from '../src/images/store-folder.ts';
import { nodePath } from '../src/setup/repository.ts';
import { runCommand } from '../src/setup/run-command.ts';
import { startFaultyRegistry } from '../src/testing/faulty-registry.ts';
import { usersOf } from '../src/testing/folder-users.ts';
import { type LayerEntry, layerOf } from '../src/testing/layers.ts';
import { push } from './image-registry.ts';
import { imageResolver, pushPrograms, useImageSetting } from './image-setting.ts';

const given = useImageSetting();
beforeAll(() => pushPrograms(given));

/** Where the device of an image lies. */
function deviceOf(digest: string, repository: string): string {
  return new StoreFolder(given.cacheDirectory).device(digest, repository);
}

describe('conversion', () => {
  describe('that was killed', () => {
    const resolving = (reference: string) =>
      spawn(nodePath, [imageResolver, given.cacheDirectory, reference], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
    const kill = async (killed: ChildProcess) => {
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      await vi.waitFor(() => expect(usersOf(given.cacheDirectory)).toEqual([]));
    };
    const devices = () => readdir(join(given.cacheDirectory, 'images/devices'));

    /** Somebody who wants another image finds the remains, and removes them. */
    const expectCleanedBy = async (store: ImageStore) => {
      await store.resolve(`${given.registry.host}/team/program:1`);
      expect((await devices()).filter((name) => !/^sha256-[0-9a-f]{64}(\.lock)?$/.test(name))).toEqual([]);
      expect(await readdir(join(given.cacheDirectory, 'images/holders'))).toHaveLength(1);
    };

    test('while it was fetched leaves nobody at work and nothing half-made', async () => {
      await using faulty = await startFaultyRegistry(given.registry.host);
      faulty.fail(/program\/blobs/, [{ stallAfterBytes: 100 }], true);
      const killed = resolving(`${faulty.host}/team/program:1`);
      await vi.waitFor(
        () => expect(faulty.asked.some((path) => path.includes('/blobs/'))).toBe(true),
        10_000,
      );
      await kill(killed);
      expect(await devices()).toContainEqual(expect.stringMatching(/\.partial$/));
      await expectCleanedBy(given.images);
    });

    test('while it was converted leaves nobody at work and nothing half-made', async () => {
      const repository = `${given.registry.host}/team/slow`;
      const reference = `${repository}:1`;
      const layer = layerOf([
        { file: 'usr/bin/pulumi', mode: 0o755 },
        { file: 'zeros', content: Buffer.alloc(300 << 20) },
      ]);
      const { digest } = await push(given.folder, reference, { layers: [layer] });
      const killed = resolving(reference);
      const partial = `${deviceOf(digest, repository)}.partial`;
      await vi.waitFor(() => expect(existsSync(join(partial, 'root.erofs'))).toBe(true), 10_000);
      await kill(killed);
      expect(await readdir(partial)).not.toContain('image.json');
      await expectCleanedBy(given.images);
      expect((await given.images.resolve(reference)).digest).toBe(digest);
    });

    test('at any moment leaves a whole device or none', async () => {
      const repository = `${given.registry.host}/team/many`;
      const reference = `${repository}:1`;
      const file = (index: number): LayerEntry => ({ file: `file-${index}`, content: randomBytes(40_000) });
      const layers = [0, 1, 2].map((layer) =>
        layerOf([
          { file: 'usr/bin/pulumi', mode: 0o755, content: String(layer) },
          ...Array.from({ length: 200 }, (_, index) => file(index)),
        ]),
      );
      const { digest } = await push(given.folder, reference, { layers });
      const device = deviceOf(digest, repository);
      const startedAt = performance.now();
      const whole = resolving(reference);
      await once(whole.stdout, 'data');
      const milliseconds = performance.now() - startedAt;
      await kill(whole);
      const moments = 6;
      for (let moment = 1; moment < moments; moment += 1) {
        await rm(device, { recursive: true, force: true });
        await rm(join(given.cacheDirectory, 'images/layers'), { recursive: true, force: true });
        const killed = resolving(reference);
        await new Promise((resolve) => setTimeout(resolve, (milliseconds * moment) / moments));
        await kill(killed);
        if (!existsSync(device)) continue;
        await runCommand(['fsck.erofs', join(device, 'root.erofs')]);
        expect(JSON.parse(await readFile(join(device, 'image.json'), 'utf8'))).toMatchObject({ digest });
      }
      await expectCleanedBy(given.images);
      expect((await given.images.resolve(reference)).digest).toBe(digest);
    });
  });
});
