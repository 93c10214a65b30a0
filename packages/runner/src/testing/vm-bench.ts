import { cacheDirectory } from '../cache-directory.ts';
import { ensureGuest, type Guest } from '../guest/ensure-guest.ts';
import type { Isolation } from '../isolation/isolation.ts';
import { createVmIsolation, type VmIsolationOptions } from '../isolation/vm/vm-isolation.ts';
import { SandboxBench } from './sandbox-bench.ts';

/** Emulated, on a host that has other things to do. */
export const vmTimeoutMilliseconds = 240_000;

/** The guest that runners boot. */
export function ownGuest(): Promise<Guest> {
  return ensureGuest({ cacheDirectory: cacheDirectory(process.env), report: () => {} });
}

/** Virtual machines as a runner has them, but for the `differences`. */
export async function openVmIsolation(
  folder: string,
  differences: Partial<VmIsolationOptions> = {},
): Promise<Isolation> {
  const guest = differences.guest ?? (await ownGuest());
  return createVmIsolation({ folder, cacheDirectory: cacheDirectory(process.env), ...differences, guest });
}

/** A bench whose sandboxes are such machines. `addToImage` puts more than busybox into the root of their image. */
export function openVmBench(
  differences: Partial<VmIsolationOptions> = {},
  addToImage?: (root: string) => void,
): Promise<SandboxBench> {
  return SandboxBench.open((folder) => openVmIsolation(folder, differences), addToImage);
}
