import { readdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupParents } from './container/cgroup.ts';
import type { SandboxNames } from './sandbox-names.ts';

const emptyDeadlineMilliseconds = 5_000;

/**
 * Ends and removes what sandboxes have left on this host that nobody ends any more: processes, control groups, files of
 * volumes. Answers what that was, a line each, and rejects when some of it stays. Everything else that a sandbox has
 * (mounts, loop devices, namespaces, its network's interfaces) is known to its processes alone and goes with them.
 */
export async function removeOrphans(names: SandboxNames): Promise<string[]> {
  const processes = orphanedProcesses(names);
  for (const { id } of processes) end(id);
  const groups = cgroupParents().flatMap((parent) =>
    list(parent).flatMap((name) => (names.isOrphan(name) ? [join(parent, name)] : [])),
  );
  for (const group of groups) await removeGroup(group);
  const files = list(names.folder).filter((name) => names.isOrphan(basename(name, '.volume')));
  for (const name of files) unlinkSync(join(names.folder, name));
  return [
    ...processes.map(({ id, name }) => `process ${id} of ${name}`),
    ...groups.map((path) => `control group ${path}`),
    ...files.map((name) => `file ${join(names.folder, name)}`),
  ];
}

/** Those have a sandbox's name as one of their arguments. Of most processes, also others', everybody may read these. */
function orphanedProcesses(names: SandboxNames): { id: number; name: string }[] {
  return list('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((id) => {
      const name = argumentsOf(id).find((argument) => names.isOrphan(argument));
      return name === undefined ? [] : [{ id: Number(id), name }];
    });
}

function argumentsOf(processId: string): string[] {
  try {
    return readFileSync(`/proc/${processId}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // It has ended.
  }
}

async function removeGroup(group: string): Promise<void> {
  const deadline = performance.now() + emptyDeadlineMilliseconds;
  for (;;) {
    try {
      for (const id of readFileSync(join(group, 'cgroup.procs'), 'utf8').trim().split('\n')) end(Number(id));
      rmdirSync(group);
      return;
    } catch (error) {
      // The runner may have been killed a moment ago, and the sandbox's own sweeper be at work too.
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV') return;
      if (codeOf(error) !== 'EBUSY' || performance.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

/** One that has ended meanwhile, or that is another user's, is none of ours. */
function end(processId: number): void {
  if (!(processId > 0)) return;
  try {
    process.kill(processId, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH' && codeOf(error) !== 'EPERM') throw error;
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // This host has no such controller.
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
