import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../control-plane.ts';

/** A process that is kept running. */
export interface Supervised {
  /** Settles once it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** What it wrote last. */
  readonly lastOutput: string;
  stop(): Promise<void>;
}

/** Why nobody serves. */
export interface Outage {
  /** Settles when somebody serves again, or nobody will any more. */
  readonly over: Promise<void>;
  /** As far as is known: the last words of what ended, or of what did not start. */
  reason: string;
}

const firstPauseMilliseconds = 100;
const mostPauseMilliseconds = 5_000;

/**
 * Keeps one process running: when it ends without having been asked to, it is started again, for as long as that takes.
 * Whatever kept it from running may pass: somebody killed it, or its disk was full.
 */
export class Supervision {
  readonly #start: (signal: AbortSignal) => Promise<Supervised>;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  readonly #kept: Promise<void>;
  #process: Supervised;
  #outage: Outage | undefined;

  private constructor(process: Supervised, start: (signal: AbortSignal) => Promise<Supervised>, log: Log) {
    this.#process = process;
    this.#start = start;
    this.#log = log;
    this.#kept = this.#keep();
  }

  /** Rejects when the first start fails: that is for the user to mend. */
  static async begin(start: (signal: AbortSignal) => Promise<Supervised>, log: Log): Promise<Supervision> {
    return new Supervision(await start(new AbortController().signal), start, log);
  }

  /** Undefined while it serves. */
  get outage(): Outage | undefined {
    return this.#outage;
  }

  /** Ends it; it is not started again. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the database is being stopped'));
    await this.#process.stop();
    await this.#kept;
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await this.#process.ended;
      if (signal.aborted) return;
      const over = Promise.withResolvers<void>();
      this.#outage = { over: over.promise, reason: this.#process.lastOutput || 'it was killed' };
      this.#log.error({ reason: this.#outage.reason }, 'The database has ended; starting it again');
      await this.#startAgain(this.#outage);
      this.#outage = undefined;
      over.resolve();
      if (signal.aborted) return;
      this.#log.warn({}, 'The database serves again');
    }
  }

  async #startAgain(outage: Outage): Promise<void> {
    const { signal } = this.#stopping;
    for (
      let pause = firstPauseMilliseconds;
      !signal.aborted;
      pause = Math.min(2 * pause, mostPauseMilliseconds)
    ) {
      try {
        this.#process = await this.#start(signal);
        // Asked to stop while it started: the one that was stopped was its predecessor.
        if (signal.aborted) await this.#process.stop();
        return;
      } catch (error) {
        if (signal.aborted) return;
        outage.reason = error instanceof Error ? error.message : String(error);
        this.#log.warn({ reason: outage.reason }, 'The database does not start; trying again');
      }
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
  }
}
