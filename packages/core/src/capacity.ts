import * as z from 'zod';
import type { SandboxSize } from './run.ts';

/** What a runner's host can give to sandboxes. */
export const capacity = z.object({
  cpus: z.number().nonnegative(),
  memoryMiB: z.number().nonnegative(),
  volumeGiB: z.number().nonnegative(),
});
export type Capacity = z.infer<typeof capacity>;

/**
 * The space that a run takes on a host whose sandbox has this size. Where the host keeps dependencies on disks, those of
 * the run lie beside its volume, on one as large as that but of at most `cacheDiskGiB`; 0 without one. (`fits.ts` of the
 * queue says the same in SQL.)
 */
export function spaceOf(size: SandboxSize, cacheDiskGiB: number): SandboxSize {
  return { ...size, volumeGiB: size.volumeGiB + Math.min(size.volumeGiB, cacheDiskGiB) };
}

/** The largest volume whose run finds its space on so much disk: `spaceOf` the other way round. */
export function largestVolumeGiB(diskGiB: number, cacheDiskGiB: number): number {
  return Math.max(diskGiB / 2, diskGiB - cacheDiskGiB);
}

/** What a sandbox of this size lacks in `available`, as words for the user; undefined when it fits. */
export function lackOf(size: SandboxSize, available: Capacity): string | undefined {
  const lacks = [
    size.cpus > available.cpus && `${size.cpus} CPUs are needed and ${Math.floor(available.cpus)} are left`,
    size.memoryMiB > available.memoryMiB &&
      `${size.memoryMiB} MiB of memory are needed and ${Math.floor(available.memoryMiB)} are left`,
    size.volumeGiB > available.volumeGiB &&
      `${size.volumeGiB} GiB of disk are needed and ${Math.floor(available.volumeGiB)} are left`,
  ].filter((lack) => lack !== false);
  return lacks.length === 0 ? undefined : lacks.join('; ');
}

/** What a runner may give to sandboxes. */
export interface CapacityOptions {
  /** Kept for the host itself and for the runner's own files. */
  readonly reserve: { readonly memoryMiB: number; readonly volumeGiB: number };
  /** Promises made for each unit that there is: 1 promises nothing twice. */
  readonly overcommit: Capacity;
}

export const defaultCapacityOptions: CapacityOptions = {
  reserve: { memoryMiB: 512, volumeGiB: 2 },
  overcommit: { cpus: 1, memoryMiB: 1, volumeGiB: 1 },
};
