import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import * as z from 'zod';
import { contentKey, fileDigest, fileIdentity, folderContents } from '../setup/content-key.ts';
import { keepNewestVersions } from '../setup/keep-newest.ts';
import { libraryPaths } from '../setup/library-paths.ts';
import { makeOnce } from '../setup/make-once.ts';
import { findOnPath } from '../setup/path-search.ts';
import type { SetUpOptions } from '../setup/set-up-options.ts';
import { compile, compileInit, guestSources } from './compile.ts';
import { type InitramfsFile, writeInitramfs } from './initramfs.ts';
import { modulesInOrder, withoutSignature } from './kernel-modules.ts';
import { ensureKernel, type GuestKernel, removeUnusedKernels } from './kernel-package.ts';

/** What every virtual machine boots, and the host's own programs around it. */
export interface Guest {
  readonly kernelPath: string;
  /** `sha256:…` */
  readonly kernelDigest: string;
  readonly initramfsPath: string;
  /** `sha256:…` */
  readonly initramfsDigest: string;
  /** Runs a program where there is nothing else (guest/host/confine.c). */
  readonly confinePath: string;
  /** Hands an open file to a running QEMU (guest/host/send-descriptor.c). */
  readonly sendDescriptorPath: string;
  /** Sends the file of a disk without its holes (guest/host/sparse-file.c). */
  readonly sparseFilePath: string;
  /** Measures the processor's time stamp counter (guest/host/tsc-rate.c). */
  readonly tscRatePath: string;
}

export interface GuestOptions extends SetUpOptions {
  /** Take the current kernel of the Debian archive instead of the one that was chosen before. */
  readonly update?: boolean;
}

/** What init loads at boot … */
const bootModules = [
  ...['virtio_mmio', 'virtio_console', 'virtio_blk', 'erofs', 'overlay', 'virtio_net', 'virtio_rng'],
];
/** … and what it loads when the first device is attached late. */
const lateDeviceModules = ['virtio_scsi', 'sd_mod'];

const digests = z.object({ kernelDigest: z.string(), initramfsDigest: z.string() });

/**
 * Makes what virtual machines boot, unless it is there: the kernel out of its Debian package, and an initramfs of the
 * guest's init, crun with its libraries, and the kernel modules. Named by what it is made of, so that a changed source,
 * kernel or crun makes another one beside it. Throws with a remedy when a tool is missing.
 */
export async function ensureGuest(options: GuestOptions): Promise<Guest> {
  const kernel = await ensureKernel(options, options.update ?? false);
  const crun = await findOnPath('crun');
  if (crun === undefined)
    throw new Error('There is no `crun` on this host. Install the Debian package crun.');
  const key = contentKey([
    kernel.packageVersion,
    await fileIdentity(crun),
    ...bootModules,
    '',
    ...lateDeviceModules,
    ...(await folderContents(guestSources)),
    ...(await folderContents(import.meta.dirname)),
  ]);
  const folder = join(options.cacheDirectory, 'guest', key);
  await makeOnce(folder, async (partialFolder) => {
    options.report('building the guest …');
    await buildGuest(partialFolder, kernel, crun);
    await keepNewestVersions(join(options.cacheDirectory, 'guest'));
  });
  if (options.update) await removeUnusedKernels(join(options.cacheDirectory, 'guest'));
  return {
    kernelPath: join(folder, 'vmlinux'),
    initramfsPath: join(folder, 'initramfs'),
    confinePath: join(folder, 'confine'),
    sendDescriptorPath: join(folder, 'send-descriptor'),
    sparseFilePath: join(folder, 'sparse-file'),
    tscRatePath: join(folder, 'tsc-rate'),
    ...digests.parse(JSON.parse(await readFile(join(folder, 'digests.json'), 'utf8'))),
  };
}

async function buildGuest(folder: string, kernel: GuestKernel, crun: string): Promise<void> {
  await mkdir(folder);
  const init = join(folder, 'init');
  await compileInit(init);
  for (const name of ['confine', 'send-descriptor', 'sparse-file', 'tsc-rate']) {
    await compile([join(guestSources, 'host', `${name}.c`)], join(folder, name));
  }
  await writeInitramfs(join(folder, 'initramfs'), [
    await fileAt('/init', init),
    await fileAt('/bin/crun', crun),
    ...(await librariesOf(crun)),
    ...(await moduleFiles(kernel.modulesFolder)),
  ]);
  await rm(init);
  // Relative: the cache may be copied or mounted elsewhere.
  await symlink(relative(folder, kernel.kernelPath), join(folder, 'vmlinux'));
  await chmod(join(folder, 'initramfs'), 0o444); // QEMU opens it, under a user id of its own.
  const named = {
    kernelDigest: await fileDigest(join(folder, 'vmlinux')),
    initramfsDigest: await fileDigest(join(folder, 'initramfs')),
  };
  await writeFile(join(folder, 'digests.json'), JSON.stringify(named));
}

async function fileAt(path: string, source: string): Promise<InitramfsFile> {
  return { path, contents: await readFile(source) };
}

/** The shared libraries of a program and its loader, at the same paths as on the host. */
async function librariesOf(program: string): Promise<InitramfsFile[]> {
  const paths = await libraryPaths(program);
  return Promise.all(paths.map((path) => fileAt(path, path)));
}

/** The modules' files, and the lists in the order of loading that init reads. */
async function moduleFiles(folder: string): Promise<InitramfsFile[]> {
  const all = await modulesInOrder(folder, [...bootModules, ...lateDeviceModules]);
  const boot = (await modulesInOrder(folder, bootModules)).map(({ name }) => name);
  const late = all.map(({ name }) => name).filter((name) => !boot.includes(name));
  const list = (names: readonly string[]) => Buffer.from(names.map((name) => `${name}\n`).join(''));
  return [
    { path: '/modules/boot', contents: list(boot) },
    { path: '/modules/late-devices', contents: list(late) },
    ...(await Promise.all(
      all.map(async ({ name, path }) => ({
        path: `/modules/${name}`,
        contents: withoutSignature(await readFile(path)),
      })),
    )),
  ];
}
