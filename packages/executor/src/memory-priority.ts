import { openSync, readSync, writeSync } from 'node:fs';

const scoreFile = '/proc/self/oom_score_adj';
const commandScore = 500;

let descriptor: number | undefined;

/** To be called before the executor becomes another user, who may write to the file, but not open it. */
export function openScoreFile(): void {
  try {
    descriptor ??= openSync(scoreFile, 'r+');
  } catch {
    // Some sandboxes have no writable /proc: the kernel's own order holds then.
  }
}

/**
 * Runs `start`, which starts a process that the kernel is to kill before the executor, who tells why: children inherit
 * the score.
 */
export function spawnAsFirstVictim<Started>(start: () => Started): Started {
  openScoreFile();
  if (descriptor === undefined) return start();
  const own = readScore(descriptor);
  writeScore(descriptor, commandScore);
  try {
    return start();
  } finally {
    writeScore(descriptor, own);
  }
}

function readScore(file: number): number {
  const bytes = Buffer.alloc(16);
  return Number(bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0)));
}

function writeScore(file: number, score: number): void {
  try {
    writeSync(file, String(score), 0);
  } catch {
    // The kernel may refuse it.
  }
}
