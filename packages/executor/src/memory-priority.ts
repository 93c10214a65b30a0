import { readFileSync, writeFileSync } from 'node:fs';

const scoreFile = '/proc/self/oom_score_adj';
/** -1000 would exempt it wholly; then a leak of its own would take the machine down. */
const executorScore = -900;
const commandScore = 500;

/** When memory runs out, the kernel is to spare the executor, which tells why. Not every sandbox allows that. */
export function becomeLastVictim(): void {
  writeScore(executorScore);
}

/** Runs `start`, which starts a process that the kernel is to kill before the executor: children inherit the score. */
export function spawnAsFirstVictim<Started>(start: () => Started): Started {
  const own = readScore();
  writeScore(commandScore);
  try {
    return start();
  } finally {
    writeScore(own);
  }
}

function readScore(): number {
  return Number(readFileSync(scoreFile, 'utf8'));
}

function writeScore(score: number): void {
  try {
    writeFileSync(scoreFile, String(score));
  } catch {
    // Lowering it takes CAP_SYS_RESOURCE, and some sandboxes have no writable /proc: the default order holds then.
  }
}
