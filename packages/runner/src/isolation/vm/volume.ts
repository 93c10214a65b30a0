import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { saysDiskFull } from '@slipway/core';
import { environmentOfSystemTools } from '../../setup/path-search.ts';
import { SandboxStartError } from '../isolation.ts';

/**
 * Makes the file of a volume: sparse, readable by nobody else, and without a name from the start, so that nothing of it
 * outlives its last user. Answers its descriptor, which the caller closes.
 */
export function openVolume(folder: string, name: string, volumeGiB: number): number {
  const path = join(folder, `${name}.volume`);
  const descriptor = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
    ftruncateSync(descriptor, volumeGiB * 1024 ** 3);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return descriptor;
}

/** No journal: a volume is thrown away after a crash. Nothing is written that reads as zero anyway: some 50 ms. */
const options = [
  '-q',
  '-F',
  '-t',
  'ext4',
  '-m',
  '0',
  '-O',
  '^has_journal,^resize_inode',
  '-E',
  'lazy_itable_init=1,nodiscard',
];

/**
 * Makes an empty ext4 file system in an open, sparse file. Throws `SandboxStartError` when mke2fs (Debian package
 * e2fsprogs) is missing or fails, for example because the host's disk is full.
 */
export async function formatVolume(descriptor: number): Promise<void> {
  const child = spawn('mke2fs', [...options, '/proc/self/fd/3'], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
    env: environmentOfSystemTools(),
  });
  let errors = '';
  child.stdio[2]?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(0, 2000);
  });
  const [code] = await once(child, 'close').catch((error: unknown) => {
    throw new SandboxStartError(
      'mke2fs could not be started; install the Debian package e2fsprogs.',
      'sandbox-failed',
      { cause: error },
    );
  });
  if (code === 0) return;
  const cause = saysDiskFull(errors) ? 'host-disk-full' : 'sandbox-failed';
  throw new SandboxStartError(`The volume could not be made: ${errors.trim()}`, cause);
}
