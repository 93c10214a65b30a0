import { readdirSync, readFileSync } from 'node:fs';
import * as z from 'zod';

/** One process of one boot of this host: its id alone may be another's by now. */
export const processIdentity = z.object({
  processId: z.number().int().positive(),
  /** Since the boot, in ticks of the kernel's clock. */
  startedAt: z.string(),
  bootId: z.string(),
});
export type ProcessIdentity = z.infer<typeof processIdentity>;

/** The process that has this id now; undefined when there is none, or one that only waits to be collected. */
export function identityOf(processId: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold anything (man 5 proc).
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startedAt = rest[18];
    const hasEnded = state === 'Z' || state === 'X';
    // Its first thread may have ended before the others.
    if (hasEnded && readdirSync(`/proc/${processId}/task`).length <= 1) return undefined;
    if (startedAt === undefined) return undefined;
    return { processId, startedAt, bootId: currentBootId() };
  } catch {
    return undefined;
  }
}

/** Whether it still runs. */
export function lives(identity: ProcessIdentity): boolean {
  const now = identityOf(identity.processId);
  return now?.startedAt === identity.startedAt && now.bootId === identity.bootId;
}

function currentBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
