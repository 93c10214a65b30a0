import { CacheConnection } from './cache/cache-connection.ts';
import { Cancellation } from './cancellation.ts';
import type { JobFrame } from './environment.ts';
import { executeRun } from './run.ts';
import type { RunnerConnection } from './runner-connection.ts';

/** A job that is not there by now is one that does not exist yet: this sandbox was started ahead of time. */
const idleMilliseconds = 1_000;

/**
 * Serves one runner: asks for the job, carries it out, reports. Settles when the runner has closed the connection;
 * what still runs then is killed. Rejects when the runner breaks the protocol. `whileIdle` is called when the runner
 * says nothing for a while.
 */
export async function serveRunner(connection: RunnerConnection, whileIdle?: () => void): Promise<void> {
  const cancellation = new Cancellation();
  const cache = new CacheConnection(connection);
  let hasJob = false;
  let idle: NodeJS.Timeout | undefined;
  try {
    await connection.send([{ type: 'ready' }]);
    if (whileIdle) idle = setTimeout(whileIdle, idleMilliseconds);
    for await (const frame of connection.frames()) {
      clearTimeout(idle);
      if (frame.type === 'cancel') {
        cancellation.request(frame.graceSeconds);
      } else if (frame.type !== 'job') {
        cache.hear(frame);
      } else if (!hasJob) {
        hasJob = true;
        // Not awaited: the connection is read on, for the cancellation and for answers.
        void executeAndReport(frame, connection, cache, cancellation);
      }
    }
  } finally {
    clearTimeout(idle);
    cancellation.kill();
  }
}

async function executeAndReport(
  frame: JobFrame,
  connection: RunnerConnection,
  cache: CacheConnection,
  cancellation: Cancellation,
): Promise<void> {
  try {
    await connection.send([await executeRun(frame, connection, cache, cancellation)]);
  } catch (error) {
    const particulars = error instanceof Error ? error.message : String(error);
    const message = `The executor could not carry out the run: ${particulars}`;
    // When it is the runner that is gone, this fails too, and the reading of its frames has ended.
    await connection
      .send([{ type: 'result', outcome: 'failed', cause: 'internal-error', message }])
      .catch(() => {});
  }
}
