import { type Ending, RunEnded } from './ending.ts';

/** A cancelled executor has its grace and this long to say what became of it. */
const afterGraceMilliseconds = 5_000;

/** Why a run is to end before its time. */
export interface CancelReason {
  readonly cause: 'cancelled' | 'runner-shutdown' | 'timed-out';
  /** Particulars; empty when the cause says it all. */
  readonly sentence: string;
}

const beforeStart = {
  cancelled: 'It was cancelled before it had started.',
  'runner-shutdown': 'The runner was stopped before the run had started.',
  'timed-out': 'Its time was over before it had started.',
} as const satisfies Record<CancelReason['cause'], string>;

/**
 * Cancelling one run. Before the job was delivered nothing has been done, so the run ends at once; afterwards the
 * executor interrupts the running step and has `graceSeconds` for an orderly end. Asking twice is harmless; a shorter
 * grace shortens the first one.
 */
export class Cancellation {
  readonly #endRun: (reason: RunEnded) => void;
  #requested: CancelReason | undefined;
  #interrupt: ((graceSeconds: number) => void) | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #isClosed = false;
  #graceSeconds = Number.POSITIVE_INFINITY;

  constructor(endRun: (reason: RunEnded) => void) {
    this.#endRun = endRun;
  }

  /** Why the run was cancelled, if it was. */
  get requested(): CancelReason | undefined {
    return this.#requested;
  }

  request(cause: CancelReason['cause'], graceSeconds: number, sentence = ''): void {
    if (this.#isClosed || graceSeconds >= this.#graceSeconds) return;
    this.#requested ??= { cause, sentence };
    this.#graceSeconds = graceSeconds;
    if (this.#interrupt) {
      this.#interrupt(graceSeconds);
      this.#startDeadline();
    } else {
      this.#endRun(new RunEnded(this.#requested.cause, beforeStart[this.#requested.cause]));
    }
  }

  /** From now on an executor works: `interrupt` asks it to stop. */
  executorWorks(interrupt: (graceSeconds: number) => void): void {
    this.#interrupt = interrupt;
  }

  /** The run has ended: no deadline is kept any more, and nothing is left to cancel. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#deadline);
  }

  #startDeadline(): void {
    clearTimeout(this.#deadline);
    const graceSeconds = this.#graceSeconds;
    this.#deadline = setTimeout(
      () => {
        const { cause = 'cancelled', sentence = '' } = this.#requested ?? {};
        const destroyed = `It did not end within its grace of ${graceSeconds} s, so its sandbox was destroyed.`;
        this.#endRun(new RunEnded(cause, `${sentence} ${destroyed}`.trim()));
      },
      graceSeconds * 1000 + afterGraceMilliseconds,
    );
  }
}

/** The ending of a run that was asked to end: it ended for that reason, whatever it says itself. */
export function cancelledEnding({ cause, sentence }: CancelReason, { message }: Ending): Ending {
  const words = [sentence, message].filter((part) => part);
  return { outcome: 'failed', cause, ...(words.length > 0 && { message: words.join(' ') }) };
}
