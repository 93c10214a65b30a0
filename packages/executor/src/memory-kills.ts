import { readFile } from 'node:fs/promises';

/** Where the kernel counts them for this container: cgroup v2, and v1. */
const counters = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control'];

/** How many processes of this container the kernel has killed for want of memory; 0 where it does not tell. */
export async function memoryKills(): Promise<number> {
  for (const path of counters) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const [, count] = /^oom_kill (\d+)$/m.exec(text) ?? [];
    if (count !== undefined) return Number(count);
  }
  return 0;
}
