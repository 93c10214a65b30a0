import { setTimeout as delay } from 'node:timers/promises';
import { lives, type ProcessIdentity } from '../log-spool/process-identity.ts';

const endDeadlineMilliseconds = 10_000;
const lookMilliseconds = 20;

/**
 * Makes sure that the sandbox of a runner that was killed is gone: the kernel has killed it with the runner, and if it has
 * not, this does. Rejects when the sandbox does not end.
 */
export async function endSandbox(process_: ProcessIdentity): Promise<void> {
  const deadline = performance.now() + endDeadlineMilliseconds;
  while (lives(process_)) {
    if (performance.now() > deadline) {
      throw new Error(`the sandbox of a runner that was killed does not end (process ${process_.processId})`);
    }
    process.kill(process_.processId, 'SIGKILL');
    await delay(lookMilliseconds);
  }
}
