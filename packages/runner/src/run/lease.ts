import { type LeaseTiming, leaseTimingOf, type RunCallResponse } from '@slipway/core';
import { Fenced } from '../control-plane-client/failures.ts';
import { pause } from '../control-plane-client/retry.ts';
import type { RunnerLog } from '../runner-options.ts';
import { RunEnded } from './ending.ts';
import type { MonotonicClock } from './phases.ts';

const retryMilliseconds = 500;

export interface LeaseOptions {
  /** As the claim answered. */
  readonly leaseSeconds: number;
  /** Renew at least this often. */
  readonly heartbeatSeconds: number;
  readonly heartbeat: () => Promise<RunCallResponse>;
  readonly clock: MonotonicClock;
  readonly log: RunnerLog;
  /** Hears of each answer: it may carry a command. */
  readonly answered: (answer: RunCallResponse) => void;
  /** The lease could not be renewed: the sandbox must be gone before it ends. */
  readonly runsOut: () => void;
}

/**
 * The right to hold a run. It is renewed every `heartbeatSeconds` and counted, on the runner's monotonic clock, from
 * the moment a renewal was *sent*: the control plane cannot have counted from earlier.
 *
 * Until the first renewal is answered it counts from the claim's answer, which may be late; nothing can be harmed by
 * that, since the job is asked for only after `renewed`, and a sandbox without a job has nothing to do.
 */
export class Lease {
  readonly timing: LeaseTiming;
  readonly #options: LeaseOptions;
  readonly #gone = new AbortController();
  readonly #renewed = Promise.withResolvers<void>();
  #runOutTimer: NodeJS.Timeout | undefined;
  #endTimer: NodeJS.Timeout | undefined;

  /** Throws a `RangeError` for a lease that would not be safe. */
  constructor(options: LeaseOptions) {
    this.#options = options;
    this.timing = leaseTimingOf(options.leaseSeconds);
    this.#renewed.promise.catch(() => undefined);
    this.#countFrom(options.clock());
    void this.#keep();
  }

  /** Aborted once the run is certainly no longer this runner's: fenced, given up, or ended and freed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Settles at the first renewal; rejects when there will be none. */
  get renewed(): Promise<void> {
    return this.#renewed.promise;
  }

  /** A call was answered that the run is another's. */
  fence(reason: Fenced): void {
    this.#release(reason);
  }

  /** The run is finished: nothing is renewed any more. */
  end(): void {
    this.#release(new Error('the run is finished'));
  }

  get #heartbeatSeconds(): number {
    return Math.min(this.#options.heartbeatSeconds, this.timing.heartbeatSeconds);
  }

  async #keep(): Promise<void> {
    const { clock, heartbeat, answered, log } = this.#options;
    while (!this.gone.aborted) {
      const sentAt = clock();
      let waitMilliseconds = this.#heartbeatSeconds * 1000;
      try {
        const answer = await heartbeat();
        if (this.gone.aborted) return;
        this.#countFrom(sentAt);
        this.#renewed.resolve();
        answered(answer);
      } catch (error) {
        if (error instanceof Fenced) return this.fence(error);
        if (this.gone.aborted) return;
        log.warn({ err: error }, 'The lease of a run could not be renewed; trying again');
        waitMilliseconds = retryMilliseconds;
      }
      await pause(waitMilliseconds, this.gone).catch(() => undefined);
    }
  }

  #countFrom(moment: number): void {
    const { clock, runsOut } = this.#options;
    const { leaseSeconds, destroyBeforeEndSeconds, freeAfterEndSeconds } = this.timing;
    clearTimeout(this.#runOutTimer);
    clearTimeout(this.#endTimer);
    const left = moment + leaseSeconds * 1000 - clock();
    this.#runOutTimer = setTimeout(runsOut, left - destroyBeforeEndSeconds * 1000);
    this.#endTimer = setTimeout(
      () => this.#release(new RunEnded('runner-lost', 'Its lease has ended.')),
      left + freeAfterEndSeconds * 1000,
    );
  }

  #release(reason: Error): void {
    clearTimeout(this.#runOutTimer);
    clearTimeout(this.#endTimer);
    this.#renewed.reject(reason);
    this.#gone.abort(reason);
  }
}
