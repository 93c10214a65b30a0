import type { ExecutorCause } from '@slipway/core';
import type { KernelCounters } from './kernel-counters.ts';
import { findOwnMemoryLimit } from './own-memory-limits.ts';
import { isOutOfFiles, isOutOfSpace, type VolumeState } from './volume-state.ts';

/** What a failed command ran out of. */
export interface Shortage {
  readonly cause: ExecutorCause;
  /** How that shows, as the end of a sentence. */
  readonly explanation: string;
}

/** What is known about the end of a failed command. */
export interface Evidence {
  readonly wasKilled: boolean;
  readonly lastLines: readonly string[];
  readonly before: KernelCounters;
  readonly after: KernelCounters;
  /** Most processes and threads of the sandbox. */
  readonly processLimit: number | null;
  /** The file system on which the command worked; null when it cannot be told. */
  readonly volume: VolumeState | null;
}

const volumeFull = /No space left on device|\bENOSPC\b/;
/** The kernel's watches of files have a limit of their own, and the same error. */
const watchesExhausted = /ENOSPC: System limit for number of file watchers reached|inotify.*No space left/;

/** What the command ran out of; null when it failed for a reason of its own. */
export function findShortage(evidence: Evidence): Shortage | null {
  return ownMemory(evidence) ?? memory(evidence) ?? processes(evidence) ?? space(evidence);
}

function ownMemory({ lastLines }: Evidence): Shortage | null {
  const explanation = findOwnMemoryLimit(lastLines);
  return explanation === null ? null : { cause: 'heap-limit', explanation };
}

function memory({ before, after, wasKilled }: Evidence): Shortage | null {
  const cause = 'out-of-memory';
  if (grew(before.memoryKills, after.memoryKills)) {
    return { cause, explanation: 'the kernel killed a process because the sandbox had no memory left.' };
  }
  // Where the kernel does not count, nobody else is likely to have sent it.
  if (wasKilled && after.memoryKills === null) {
    return { cause, explanation: 'it was most likely out of memory.' };
  }
  return null;
}

function processes({ before, after, processLimit }: Evidence): Shortage | null {
  if (!grew(before.processRefusals, after.processRefusals)) return null;
  const limit = processLimit === null ? '' : `, ${processLimit} of which the sandbox allows`;
  return {
    cause: 'process-limit',
    explanation: `the kernel refused to start more processes and threads${limit}.`,
  };
}

function space({ lastLines, volume }: Evidence): Shortage | null {
  const said = lastLines.some((line) => volumeFull.test(line) && !watchesExhausted.test(line));
  if (volume && isOutOfFiles(volume)) {
    return {
      cause: 'inodes-exhausted',
      explanation: `all of the ${volume.totalFiles} files that the volume can hold are made.`,
    };
  }
  if (said || (volume && isOutOfSpace(volume))) {
    return { cause: 'disk-full', explanation: 'there was no space left on the volume.' };
  }
  return null;
}

function grew(before: number | null, after: number | null): boolean {
  return after !== null && after > (before ?? 0);
}
