import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cause } from '@slipway/core';

const mebibyte = 1024 ** 2;
/** A disk with less than this left counts as full: what failed just then failed for want of it. */
export const fullBytes = 16 * mebibyte;
/** With so much left again, whoever waits for room goes on. */
const roomBytes = 4 * fullBytes;
/** Somebody may be making room: for so long a run waits, rather than end in the middle of its work. */
export const roomPatienceSeconds = 30;
const lookMilliseconds = 250;

/** This host has no room for what a run needs to have written. The message names the folder, and what to do there. */
export class HostDiskFull extends Error {
  override readonly name = 'HostDiskFull';
  readonly runCause: Cause = 'host-disk-full';

  constructor(what: string, folder: string, options?: ErrorOptions) {
    super(`${what}: there is no room left on the disk of ${folder}.`, options);
  }
}

/** Whether an error, or what caused it, is that of a system call that found a disk full. */
export function isDiskFullError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) return true;
  return isDiskFullError(error.cause);
}

/** How a write waits for room. */
export interface RoomPatience {
  readonly milliseconds: number;
  /** Hears that it has to. */
  readonly waits?: () => void;
}

/** Writes again and again while the disk of `folder` is full; throws `HostDiskFull` when it stays so. */
export async function whileDiskIsFull<T>(
  write: () => Promise<T>,
  { what, folder, patience }: { what: string; folder: string; patience: RoomPatience },
  signal: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + patience.milliseconds;
  for (let tries = 1; ; tries += 1) {
    try {
      return await write();
    } catch (error) {
      if (!isDiskFullError(error)) throw error;
      if (performance.now() >= deadline) throw new HostDiskFull(what, folder, { cause: error });
    }
    if (tries === 1) patience.waits?.();
    signal.throwIfAborted();
    await delay(lookMilliseconds);
  }
}

/** Settles once the disk of a folder has room again; answers false when it has none in time, or `signal` aborts. */
export async function roomReturns(
  folder: string,
  patienceMilliseconds: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + patienceMilliseconds;
  while (!signal.aborted) {
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize >= roomBytes) return true;
    if (performance.now() >= deadline) return false;
    await delay(lookMilliseconds);
  }
  return false;
}
