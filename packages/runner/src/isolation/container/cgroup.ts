import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SandboxSize } from '@slipway/core';
import { SandboxStartError } from '../isolation.ts';

/** The control groups that hold one sandbox: one directory with cgroup v2, one for each controller with v1. */
export interface SandboxCgroup {
  readonly directories: readonly string[];
  /** Those that this process is in instead. */
  readonly outside: readonly string[];
  /** Where each of them belongs inside the container, below `/sys/fs/cgroup`. */
  readonly mounts: readonly { readonly source: string; readonly destination: string }[];
  readonly counters: CgroupCounters;
}

/** What the kernel counts for one sandbox. They can be read until its control groups are removed. */
export interface CgroupCounters {
  /** Processes that were killed for want of memory. */
  memoryKills(): number;
  /** Most memory used so far, files that can be dropped at any time included. */
  memoryPeakBytes(): number;
  /** Memory in use, without the files that can be dropped at any time. */
  memoryBytes(): number;
  /** Processor time so far. */
  cpuMilliseconds(): number;
  /** Processes and threads that were refused. */
  processRefusals(): number;
}

const root = '/sys/fs/cgroup';
const schedulerPeriodMicroseconds = 100_000;

/**
 * Makes the control groups with the sandbox's limits; the host has cgroup v2, or v1 with one hierarchy a controller.
 * Swap does not extend the memory. Throws `SandboxStartError` when the host does not allow it, and leaves nothing.
 */
export function createCgroup(name: string, size: SandboxSize, pidLimit: number): SandboxCgroup {
  const made: string[] = [];
  const make = (directory: string, limits: Record<string, string | number>) => {
    mkdirSync(directory);
    made.push(directory);
    for (const [file, value] of Object.entries(limits)) {
      // Swap accounting is a kernel option; without it there is no such file, and no limit to set.
      if (file.includes('sw') && !existsSync(join(directory, file))) continue;
      writeFileSync(join(directory, file), String(value));
    }
    return directory;
  };
  try {
    return isUnified()
      ? unified(make(join(root, name), unifiedLimits(size, pidLimit)))
      : perController(name, size, pidLimit, make);
  } catch (error) {
    for (const directory of made) rmdirSync(directory);
    throw new SandboxStartError(
      `The limits of the sandbox could not be set (${String(error)}). The container isolation needs root and the ` +
        'memory, cpu, cpuacct (version 1) and pids controllers of cgroups.',
      'sandbox-failed',
      { cause: error },
    );
  }
}

function unifiedLimits({ cpus, memoryMiB }: SandboxSize, pidLimit: number): Record<string, string | number> {
  return {
    'memory.max': memoryMiB * 1024 * 1024,
    'memory.swap.max': 0,
    'cpu.max': `${cpus * schedulerPeriodMicroseconds} ${schedulerPeriodMicroseconds}`,
    'pids.max': pidLimit,
  };
}

function unified(directory: string): SandboxCgroup {
  return {
    directories: [directory],
    outside: [ownDirectory('')],
    mounts: [{ source: directory, destination: root }],
    counters: {
      memoryKills: () => named('oom_kill', join(directory, 'memory.events')),
      memoryPeakBytes: () => number(join(directory, 'memory.peak')),
      memoryBytes: () =>
        withoutFiles(
          number(join(directory, 'memory.current')),
          ['inactive_file', 'active_file'].map((name) => named(name, join(directory, 'memory.stat'))),
        ),
      cpuMilliseconds: () => Math.round(named('usage_usec', join(directory, 'cpu.stat')) / 1000),
      processRefusals: () => named('max', join(directory, 'pids.events')),
    },
  };
}

function perController(
  name: string,
  { cpus, memoryMiB }: SandboxSize,
  pidLimit: number,
  make: (directory: string, limits: Record<string, string | number>) => string,
): SandboxCgroup {
  const memoryBytes = memoryMiB * 1024 * 1024;
  const controllers = {
    memory: make(join(ownDirectory('memory'), name), {
      'memory.limit_in_bytes': memoryBytes,
      'memory.memsw.limit_in_bytes': memoryBytes,
    }),
    cpu: make(join(ownDirectory('cpu'), name), {
      'cpu.cfs_period_us': schedulerPeriodMicroseconds,
      'cpu.cfs_quota_us': cpus * schedulerPeriodMicroseconds,
    }),
    pids: make(join(ownDirectory('pids'), name), { 'pids.max': pidLimit }),
  };
  // Most hosts have these two as one.
  const countsTimes = existsSync(join(controllers.cpu, 'cpuacct.usage'));
  const times = countsTimes ? controllers.cpu : make(join(ownDirectory('cpuacct'), name), {});
  const directories = [...new Set([...Object.values(controllers), times])];
  return {
    directories,
    outside: directories.map((directory) => dirname(directory)),
    mounts: Object.entries(controllers).map(([controller, source]) => ({
      source,
      destination: join(root, controller),
    })),
    counters: {
      memoryKills: () => named('oom_kill', join(controllers.memory, 'memory.oom_control')),
      memoryPeakBytes: () => number(join(controllers.memory, 'memory.max_usage_in_bytes')),
      memoryBytes: () =>
        withoutFiles(
          number(join(controllers.memory, 'memory.usage_in_bytes')),
          ['total_inactive_file', 'total_active_file'].map((file) =>
            named(file, join(controllers.memory, 'memory.stat')),
          ),
        ),
      cpuMilliseconds: () => Math.round(number(join(times, 'cpuacct.usage')) / 1e6),
      processRefusals: () => named('max', join(controllers.pids, 'pids.events')),
    },
  };
}

/** The directories in which the control groups of sandboxes are made. */
export function cgroupParents(): string[] {
  if (isUnified()) return [root];
  const directories = ['memory', 'cpu', 'cpuacct', 'pids'].map(ownDirectory).filter(existsSync);
  // Controllers that are mounted as one have several names.
  return [...new Set(directories.map((directory) => realpathSync(directory)))];
}

function isUnified(): boolean {
  return existsSync(join(root, 'cgroup.controllers'));
}

/**
 * Where this process is in the hierarchy of a v1 controller, so that limits set on the runner hold for sandboxes, or in the
 * one of v2, which has no name.
 */
function ownDirectory(controller: string): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((entry) => entry.split(':')[1]?.split(',').includes(controller));
  const directory = join(root, controller, line?.split(':')[2] ?? '/');
  return existsSync(directory) ? directory : join(root, controller);
}

function named(name: string, path: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1] ?? 0);
}

/** The kernel may drop files between the look at all and the look at them. */
function withoutFiles(allBytes: number, filesBytes: readonly number[]): number {
  return Math.max(
    0,
    filesBytes.reduce((left, bytes) => left - bytes, allBytes),
  );
}

function number(path: string): number {
  return Number(readFileSync(path, 'utf8'));
}
