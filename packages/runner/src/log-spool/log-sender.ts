import { pause } from '../control-plane-client/retry.ts';
import type { LogSpool } from './log-spool.ts';

/**
 * The first line of a quiet log leaves at once; the next batch follows after this time, so that a chatty program costs
 * some calls a second and not one a line.
 */
const betweenBatchesMilliseconds = 50;

/**
 * Sends what the spool holds, batch by batch, one at a time and in order, until `signal` is aborted. `send` settles
 * when the control plane has stored the batch; only then the spool lets go of it. Rejects when `send` does.
 */
export async function sendLog(
  spool: LogSpool,
  send: (lines: Buffer) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const wake = () => spool.wake();
  signal.addEventListener('abort', wake, { once: true });
  while (!signal.aborted) {
    const { changed } = spool;
    const batch = await spool.nextBatch();
    if (batch === undefined) {
      await changed;
      continue;
    }
    await send(batch.json);
    spool.acknowledge(batch);
    if (!spool.holdsFullBatch) await pause(betweenBatchesMilliseconds, signal).catch(() => undefined);
  }
  signal.removeEventListener('abort', wake);
}
