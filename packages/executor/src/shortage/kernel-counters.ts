import { readFile } from 'node:fs/promises';

/** How often the kernel has held the sandbox to its limits so far; null where it does not tell. */
export interface KernelCounters {
  /** Processes that it has killed for want of memory. */
  readonly memoryKills: number | null;
  /** Processes and threads that it has refused to start. */
  readonly processRefusals: number | null;
}

/** Where the kernel counts, with cgroup v2 and v1. */
const memoryFiles = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control'];
const processFiles = ['/sys/fs/cgroup/pids.events', '/sys/fs/cgroup/pids/pids.events'];
const processLimitFiles = ['/sys/fs/cgroup/pids.max', '/sys/fs/cgroup/pids/pids.max'];

export async function kernelCounters(): Promise<KernelCounters> {
  const [memoryKills, processRefusals] = await Promise.all([
    firstNumber(memoryFiles, /^oom_kill (\d+)$/m),
    firstNumber(processFiles, /^max (\d+)$/m),
  ]);
  return { memoryKills, processRefusals };
}

/** Most processes and threads that the sandbox may have at a time; null where there is no limit. */
export function processLimit(): Promise<number | null> {
  return firstNumber(processLimitFiles, /^(\d+)$/m);
}

async function firstNumber(paths: readonly string[], pattern: RegExp): Promise<number | null> {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const [, count] = pattern.exec(text) ?? [];
    if (count !== undefined) return Number(count);
  }
  return null;
}
