import { RunEnded } from './ending.ts';

/** A cancelled executor has its grace and this long to say what became of it. */
const afterGraceMilliseconds = 5_000;

/** Why a run is to end before its time. */
export type CancelCause = 'cancelled' | 'runner-shutdown';

const sentences: Record<CancelCause, string> = {
  cancelled: 'It was cancelled before it had started.',
  'runner-shutdown': 'The runner was stopped before the run had started.',
};

/**
 * Cancelling one run. Before the job was delivered nothing has been done, so the run ends at once; afterwards the
 * executor interrupts the running step and has `graceSeconds` for an orderly end. Asking twice is harmless; a shorter
 * grace shortens the first one.
 */
export class Cancellation {
  readonly #endRun: (reason: RunEnded) => void;
  #requested: CancelCause | undefined;
  #interrupt: ((graceSeconds: number) => void) | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #graceSeconds = Number.POSITIVE_INFINITY;

  constructor(endRun: (reason: RunEnded) => void) {
    this.#endRun = endRun;
  }

  /** Why the run was cancelled, if it was. */
  get requested(): CancelCause | undefined {
    return this.#requested;
  }

  request(cause: CancelCause, graceSeconds: number): void {
    if (graceSeconds >= this.#graceSeconds) return;
    this.#requested ??= cause;
    this.#graceSeconds = graceSeconds;
    if (this.#interrupt) {
      this.#interrupt(graceSeconds);
      this.#startDeadline();
    } else {
      this.#endRun(new RunEnded(this.#requested, sentences[this.#requested]));
    }
  }

  /** From now on an executor works: `interrupt` asks it to stop. */
  executorWorks(interrupt: (graceSeconds: number) => void): void {
    this.#interrupt = interrupt;
  }

  /** The run has ended: no deadline is kept any more. */
  close(): void {
    clearTimeout(this.#deadline);
  }

  #startDeadline(): void {
    clearTimeout(this.#deadline);
    const graceSeconds = this.#graceSeconds;
    this.#deadline = setTimeout(
      () => {
        this.#endRun(
          new RunEnded(
            this.#requested ?? 'cancelled',
            `It did not end within its grace of ${graceSeconds} s, so its sandbox was destroyed.`,
          ),
        );
      },
      graceSeconds * 1000 + afterGraceMilliseconds,
    );
  }
}
