import {
  type Capacity,
  type CapacityOptions,
  defaultSandboxSize,
  type IsolationKind,
  lackOf,
  largestVolumeGiB,
  type SandboxSize,
  spaceOf,
  defaultCapacityOptions as usual,
} from '@slipway/core';
import { CapacityLedger, cacheDiskSizeGiB, measureHost } from '@slipway/runner';

/** The options that decide how large sandboxes are, and how many run at once. */
export interface SizeFlags {
  isolation: IsolationKind;
  runners: number;
  cpus?: number;
  memoryMib?: number;
  volumeGib?: number;
  reserveMemoryMib?: number;
  reserveDiskGib?: number;
  overcommitCpus: number;
  overcommitMemory: number;
  overcommitDisk: number;
  dependencyCacheGib?: number | undefined;
}

/** What a sandbox of a runner gets whose run does not say, and sentences about it for whoever starts the runner. */
export interface ChosenSize {
  readonly size: SandboxSize;
  readonly remarks: readonly string[];
}

export function capacityOptionsOf(flags: SizeFlags): CapacityOptions {
  return {
    reserve: {
      memoryMiB: flags.reserveMemoryMib ?? usual.reserve.memoryMiB,
      volumeGiB: flags.reserveDiskGib ?? usual.reserve.volumeGiB,
    },
    overcommit: {
      cpus: flags.overcommitCpus,
      memoryMiB: flags.overcommitMemory,
      volumeGiB: flags.overcommitDisk,
    },
  };
}

const parts = [
  { part: 'cpus', unit: 'CPUs', flag: '--cpus', overcommit: '--overcommit-cpus' },
  { part: 'memoryMiB', unit: 'MiB of memory', flag: '--memory-mib', overcommit: '--overcommit-memory' },
  { part: 'volumeGiB', unit: 'GiB of disk', flag: '--volume-gib', overcommit: '--overcommit-disk' },
] as const;

/**
 * The size that the flags ask for; what they leave open is the usual size, or what this host has where it has less, and
 * a remark says so. Throws when they ask for more than the host can give: such a runner would never claim a run.
 */
export async function chooseSandboxSize(flags: SizeFlags, volumeFolder: string): Promise<ChosenSize> {
  const ledger = new CapacityLedger(flags.isolation, capacityOptionsOf(flags), () =>
    measureHost(volumeFolder),
  );
  const { now } = await ledger.available();
  const asked = { cpus: flags.cpus, memoryMiB: flags.memoryMib, volumeGiB: flags.volumeGib };
  const { isolation, runners } = flags;
  const cacheDiskGiB = cacheDiskSizeGiB(isolation, flags.dependencyCacheGib !== 0);
  return sandboxSizeWithin({ room: now, cacheDiskGiB }, asked, runners);
}

/** The rule of `chooseSandboxSize`, for a host that can give `room`. */
export function sandboxSizeWithin(
  { room, cacheDiskGiB }: { readonly room: Capacity; readonly cacheDiskGiB: number },
  asked: Readonly<Record<keyof SandboxSize, number | undefined>>,
  runners: number,
): ChosenSize {
  // A volume that was not asked for leaves room for what is installed beside it.
  const givable = {
    ...room,
    volumeGiB:
      asked.volumeGiB === undefined ? largestVolumeGiB(room.volumeGiB, cacheDiskGiB) : room.volumeGiB,
  };
  const size = { ...defaultSandboxSize };
  const remarks: string[] = [];
  for (const { part, unit, flag, overcommit } of parts) {
    const most = Math.floor(givable[part]);
    const wanted = asked[part] ?? defaultSandboxSize[part];
    if (wanted <= most) size[part] = wanted;
    else if (asked[part] !== undefined || most < 1) {
      throw new Error(
        `This host can give a sandbox ${most} ${unit}, and ${flag} asks for ${wanted}. Ask for less with ${flag}, or promise more than there is with ${overcommit}.`,
      );
    } else {
      size[part] = most;
      const beside = part === 'volumeGiB' && cacheDiskGiB > 0 ? ' beside a disk for dependencies' : '';
      remarks.push(
        `A sandbox has ${most} ${unit}, all that this host can give${beside}, in place of ${wanted}; ${flag} and ${overcommit} change that.`,
      );
    }
  }
  const lack = lackOf(spaceOf(size, cacheDiskGiB), room);
  if (lack !== undefined) {
    remarks.push(
      `Runs that cache dependencies find no room here, since these are installed beside the volume: ${lack}. Choose less with --volume-gib, or keep none with --dependency-cache-gib 0.`,
    );
  }
  const fitting = Math.min(...parts.map(({ part }) => Math.floor(room[part] / size[part])));
  if (fitting < runners) {
    remarks.push(
      `${runners} runs at once were asked for with --runners; this host has room for ${fitting} of this size. Choose less with ${parts.map(({ flag }) => flag).join(', ')}.`,
    );
  }
  return { size, remarks };
}
