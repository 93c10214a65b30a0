import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from './control-plane.ts';

export interface RepeatedWork {
  readonly everyMilliseconds: number;
  /** What is logged when it fails; it is tried again the next time. */
  readonly failure: string;
  /** Once the signal is aborted it has to end soon. */
  readonly work: (signal: AbortSignal) => Promise<unknown>;
}

/** Works at once and then again and again, one time after the other, until it is disposed of; then it has ended. */
export function startRepeatedWork(
  { everyMilliseconds, failure, work }: RepeatedWork,
  log: Log,
): AsyncDisposable {
  const stopping = new AbortController();
  const { signal } = stopping;
  const ended = (async () => {
    while (!signal.aborted) {
      await work(signal).catch((error: unknown) => log.error({ err: error }, failure));
      await sleep(everyMilliseconds, undefined, { signal }).catch(() => undefined); // Stopped.
    }
  })();
  return {
    [Symbol.asyncDispose]: () => {
      stopping.abort();
      return ended;
    },
  };
}
