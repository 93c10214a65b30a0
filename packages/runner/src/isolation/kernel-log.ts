import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';

/** A process that the kernel of this host killed for want of memory. */
export interface MemoryKill {
  readonly processId: number;
  readonly name: string;
  readonly memoryMiB: number;
  /** The control group of the process, and the one whose limit was reached; null where the log does not say. */
  readonly group: string | null;
  readonly groupAtLimit: string | null;
}

/** The longest record of the log (Linux, include/linux/printk.h: `PRINTK_MESSAGE_MAX`). */
const longestRecordBytes = 8192;

/**
 * The processes that the kernel's log says were killed for want of memory, oldest first. Empty where the log cannot be
 * read: that takes root, or a host that shows it to everybody.
 */
export function memoryKillsInKernelLog(): readonly MemoryKill[] {
  return findMemoryKills(readKernelLog());
}

/** Two records tell of a kill: which groups it was about, and then, which process was killed (Linux mm/oom_kill.c). */
export function findMemoryKills(records: readonly string[]): readonly MemoryKill[] {
  const kills: MemoryKill[] = [];
  let groups: { atLimit: string | null; own: string | null; processId: number } | undefined;
  for (const record of records) {
    const context =
      /oom-kill:constraint=.*?(?:,oom_memcg=([^,]*))?,task_memcg=([^,]*),task=.*,pid=(\d+),/.exec(record);
    if (context) {
      groups = { atLimit: context[1] ?? null, own: context[2] ?? null, processId: Number(context[3]) };
      continue;
    }
    const killed = /Killed process (\d+) \((.*)\) total-vm:\d+kB, anon-rss:(\d+)kB/.exec(record);
    if (!killed) continue;
    const processId = Number(killed[1]);
    const known = groups?.processId === processId ? groups : undefined;
    kills.push({
      processId,
      name: killed[2] ?? '',
      memoryMiB: Number(killed[3]) / 1024,
      group: known?.own ?? null,
      groupAtLimit: known?.atLimit ?? null,
    });
  }
  return kills;
}

/** How many processes the kernel of this host has killed for want of memory since it started; anybody may know. */
export function countMemoryKills(): number {
  return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'))?.[1] ?? 0);
}

function readKernelLog(): string[] {
  let log: number;
  try {
    log = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  const records: string[] = [];
  const record = Buffer.alloc(longestRecordBytes);
  try {
    for (;;) {
      try {
        records.push(record.toString('latin1', 0, readSync(log, record)));
      } catch (error) {
        // The oldest ones were overwritten meanwhile; reading goes on with those that are left.
        if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) return records;
      }
    }
  } finally {
    closeSync(log);
  }
}
