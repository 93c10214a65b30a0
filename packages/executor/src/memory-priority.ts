import { openSync, readSync, writeSync } from 'node:fs';

const scoreFile = '/proc/self/oom_score_adj';
/** -1000 would exempt it wholly; then a leak of its own would take the machine down. */
const executorScore = -900;
const commandScore = 500;

/** Opened at the start: once the executor has become another user, it may write to the file, but not open it. */
let descriptor: number | undefined;

/** When memory runs out, the kernel is to spare the executor, which tells why. Not every sandbox allows that. */
export function becomeLastVictim(): void {
  try {
    descriptor = openSync(scoreFile, 'r+');
  } catch {
    // Some sandboxes have no writable /proc: the default order holds then.
    return;
  }
  writeScore(descriptor, executorScore);
}

/** Runs `start`, which starts a process that the kernel is to kill before the executor: children inherit the score. */
export function spawnAsFirstVictim<Started>(start: () => Started): Started {
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
    // Lowering it takes CAP_SYS_RESOURCE.
  }
}
