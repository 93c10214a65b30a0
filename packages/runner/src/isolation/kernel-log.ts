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

/**
 * Two records tell of a kill: which groups it was about, and then, which process was killed (Linux mm/oom_kill.c). The first
 * is written in pieces: others may write between them, and each then is a record of its own, marked `c` for continued
 * (Documentation/ABI/testing/dev-kmsg).
 */
export function findMemoryKills(records: readonly string[]): readonly MemoryKill[] {
  const kills: MemoryKill[] = [];
  let groups = '';
  for (const record of records) {
    const [, flag = '', text = ''] = /^\d+,\d+,\d+,(.)[^;]*;(.*)/.exec(record) ?? [];
    if (text.startsWith('oom-kill:')) groups = text;
    else if (flag === 'c') groups += text;
    const killed = /Killed process (\d+) \((.*)\) total-vm:\d+kB, anon-rss:(\d+)kB/.exec(text);
    if (!killed) continue;
    const [, atLimit = null, own = null, processId] =
      /(?:,oom_memcg=([^,]*))?,task_memcg=([^,]*),task=.*,pid=(\d+),/.exec(groups) ?? [];
    const isAbout = processId === killed[1];
    kills.push({
      processId: Number(killed[1]),
      name: killed[2] ?? '',
      memoryMiB: Number(killed[3]) / 1024,
      group: isAbout ? own : null,
      groupAtLimit: isAbout ? atLimit : null,
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
