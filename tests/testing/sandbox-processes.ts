import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { IsolationKind } from '@slipway/core';
import { idsIn, machinesBelow } from '../../packages/runner/src/testing/host-processes.ts';

const root = '/sys/fs/cgroup';

/** A run and the process of the runner that executes it. */
export interface RunOfRunner {
  readonly isolation: IsolationKind;
  readonly runnerId: number;
  readonly runId: string;
}

/**
 * Ids of the processes in which the code of a run can still do something: the machine that it is in, or, where it shares
 * the kernel, all that is in its control groups. They are found anew at each call, so that none is missed.
 */
export function sandboxProcesses({ isolation, runnerId, runId }: RunOfRunner): number[] {
  if (isolation === 'vm') return machinesBelow(runnerId);
  return processesOf(cgroupsOfRun(runId));
}

/** The control groups of one run's container, with cgroup v2 or v1, wherever its runner was started. */
function cgroupsOfRun(runId: string, directory = root, depth = 6): string[] {
  if (depth === 0) return [];
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name))
      .flatMap((path) => (path.includes(runId) ? [path] : cgroupsOfRun(runId, path, depth - 1)));
  } catch {
    return []; // went away while being read
  }
}

/** Ids of the processes in these control groups; of those that are gone already, none. */
function processesOf(cgroups: readonly string[]): number[] {
  return [...new Set(cgroups.flatMap((cgroup) => idsIn(join(cgroup, 'cgroup.procs'))))];
}
