import { cacheDirectory as cacheDirectoryOf } from '../cache-directory.ts';
import { ensureGuest } from '../guest/ensure-guest.ts';
import { createVmIsolation, type VmIsolationOptions } from '../isolation/vm/vm-isolation.ts';
import { SandboxBench } from './sandbox-bench.ts';

/** Emulated, on a host that has other things to do. */
export const vmTimeoutMilliseconds = 240_000;

/** A bench whose sandboxes are virtual machines as a runner has them, but for the `differences`. */
export async function openVmBench(differences: Partial<VmIsolationOptions> = {}): Promise<SandboxBench> {
  const cacheDirectory = cacheDirectoryOf(process.env);
  const guest = await ensureGuest({ cacheDirectory, report: () => {} });
  return SandboxBench.open((folder) => createVmIsolation({ guest, folder, cacheDirectory, ...differences }));
}
