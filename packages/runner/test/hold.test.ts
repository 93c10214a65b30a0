import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { defaultCapacityOptions } from '@slipway/core';
import { cacheDirectory, defaultImageReference, openRunnerParts } from '@slipway/runner';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeUnusedKernels } from '../src/guest/kernel-package.ts';
import { holdFolders } from '../src/setup/hold.ts';
import { keepNewestVersions } from '../src/setup/keep-newest.ts';
import { ownGuest } from '../src/testing/vm-bench.ts';

let parent: string;
/** Oldest first. */
const versions = ['0', '1', '2', '3', '4', '5', '6'].map((digit) => digit.repeat(24));
const folderOf = (index: number) => join(parent, versions[index] ?? '');
const left = async () => (await readdir(parent)).map((name) => Number(name[0])).toSorted();

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'slipway-versions-'));
  for (const [index, name] of versions.entries()) {
    await mkdir(join(parent, name));
    await writeFile(join(parent, name, 'file'), name);
    await utimes(join(parent, name), index, index);
  }
});
afterEach(() => rm(parent, { recursive: true, force: true }));

test('of what is made in the cache the newest versions stay, and those that somebody holds', async () => {
  const first = await holdFolders([folderOf(0), folderOf(1)]);
  const second = await holdFolders([folderOf(1)]);
  await keepNewestVersions(parent);
  expect(await left()).toEqual([0, 1, 3, 4, 5, 6]);
  await first.release();
  await keepNewestVersions(parent);
  expect(await left()).toEqual([1, 3, 4, 5, 6]);
  await second.release();
  await keepNewestVersions(parent);
  expect(await left()).toEqual([3, 4, 5, 6]);
});

test('a holder that was killed with SIGKILL holds nothing any more', async () => {
  const source = join(import.meta.dirname, '../src/setup/hold.ts');
  const script = `await (await import(process.argv[1])).holdFolders([process.argv[2]]); console.log('held');`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script, source, folderOf(0)]);
  await once(holder.stdout, 'data');
  await keepNewestVersions(parent);
  expect(await left()).toContain(0);
  holder.kill('SIGKILL');
  await once(holder, 'close');
  await expect
    .poll(async () => {
      await keepNewestVersions(parent);
      return left();
    })
    .not.toContain(0);
});

test('what is gone cannot be held, and nothing comes in its place', async () => {
  await expect(holdFolders([join(parent, 'gone')])).rejects.toThrow(/gone from the cache/);
  expect(await readdir(parent)).not.toContain('gone');
});

test('a kernel stays for as long as a guest boots it', async () => {
  for (const name of ['kernel-1', 'kernel-2', 'kernel-3.partial']) await mkdir(join(parent, name));
  await writeFile(join(parent, 'kernel-version'), 'linux-image=1');
  await symlink('../kernel-2/vmlinux', join(folderOf(0), 'vmlinux'));
  await removeUnusedKernels(parent);
  const kernels = (await readdir(parent)).filter((name) => name.startsWith('kernel-'));
  expect(kernels.toSorted()).toEqual(['kernel-2', 'kernel-3.partial', 'kernel-version']);
});

test('a runner holds its toolbox and its guest for as long as it works', async () => {
  const cache = cacheDirectory(process.env);
  const guest = await ownGuest();
  const parts = await openRunnerParts(
    {
      ...{ serverUrl: 'http://localhost:1', poolToken: '', isolation: 'vm', slots: 1 },
      capacity: defaultCapacityOptions,
      ...{
        size: { cpus: 1, memoryMiB: 512, volumeGiB: 1 },
        defaultImage: defaultImageReference,
        extraCertificates: '',
        proxy: {},
      },
      ...{ allowedPrivateNetworks: [], dataDirectory: parent, dependencyCacheGiB: 0 },
      log: { info: () => {}, warn: () => {}, error: () => {} },
    },
    cache,
  );
  const isHeld = (folder: string) =>
    promisify(execFile)('flock', ['--exclusive', '--nonblock', `${folder}/.`, 'true']).then(
      () => false,
      () => true,
    );
  const folders = [dirname(parts.toolbox.erofsPath), dirname(guest.initramfsPath)];
  expect(await Promise.all(folders.map(isHeld))).toEqual([true, true]);
  await parts.close();
});
