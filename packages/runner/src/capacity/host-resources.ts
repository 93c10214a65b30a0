import { statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import type { Capacity } from '@slipway/core';

const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

/** What a host has: altogether, and free at this moment. */
export interface HostResources {
  readonly total: Capacity;
  /** Of memory and disk: what other programs of the host leave. */
  readonly free: Capacity;
}

/** Measures this host; `volumeFolder` is where volumes are made. Limits of a container around the runner count. */
export async function measureHost(volumeFolder: string): Promise<HostResources> {
  const { blocks, bavail, bsize } = await statfs(volumeFolder);
  const cpus = availableParallelism();
  // 0 where nothing confines this process; some systems answer an absurdly large number.
  const confined = process.constrainedMemory();
  const memoryBytes = confined > 0 ? Math.min(confined, totalmem()) : totalmem();
  return {
    total: { cpus, memoryMiB: memoryBytes / mebibyte, volumeGiB: (blocks * bsize) / gibibyte },
    free: { cpus, memoryMiB: process.availableMemory() / mebibyte, volumeGiB: (bavail * bsize) / gibibyte },
  };
}
