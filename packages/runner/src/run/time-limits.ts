import type { TimeLimits } from '@slipway/core';

/** The longest that a timer can wait. */
const mostMilliseconds = 2 ** 31 - 1;

/**
 * Watches how long a run takes as a whole, how long each of its steps, and how long it says nothing. It is the runner
 * that watches, so that a sandbox which does not answer any more is held to its limits as well.
 */
export class TimeLimitWatch {
  readonly #limits: TimeLimits;
  readonly #exceeded: (sentence: string) => void;
  #run: NodeJS.Timeout | undefined;
  #step: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;

  /** `exceeded` hears which limit it was, once for each. */
  constructor(limits: TimeLimits, exceeded: (sentence: string) => void) {
    this.#limits = limits;
    this.#exceeded = exceeded;
  }

  /** The job was handed out: from here on time counts. */
  begin(): void {
    const { runSeconds } = this.#limits;
    this.#run = this.#after(runSeconds, `It took longer than its limit of ${runSeconds} s.`);
    this.lineRead();
  }

  stepBegan(name: string): void {
    const { stepSeconds } = this.#limits;
    this.stepEnded();
    this.#step = this.#after(
      stepSeconds,
      `The step "${name}" took longer than its limit of ${stepSeconds} s.`,
    );
  }

  stepEnded(): void {
    clearTimeout(this.#step);
  }

  /** A line was read and waits to be taken: until then it is not the sandbox that is silent. */
  lineWaits(): void {
    clearTimeout(this.#silence);
  }

  lineRead(): void {
    const { silenceSeconds } = this.#limits;
    clearTimeout(this.#silence);
    const sentence = `It wrote no line to its log for longer than its limit of ${silenceSeconds} s.`;
    this.#silence = this.#after(silenceSeconds, sentence);
  }

  /** The run has ended. */
  close(): void {
    for (const timer of [this.#run, this.#step, this.#silence]) clearTimeout(timer);
  }

  #after(seconds: number | undefined, sentence: string): NodeJS.Timeout | undefined {
    if (seconds === undefined) return undefined;
    return setTimeout(() => this.#exceeded(sentence), Math.min(seconds * 1000, mostMilliseconds));
  }
}
