/** A question counts for no more than this: who was stopped himself, or had no processor, asked nothing meanwhile. */
const mostBetweenQuestionsMilliseconds = 2_000;

/**
 * A guest that works answers within moments. The longest seen, emulated on a host with ten times the work it can do, was 38 s:
 * 8,192 processes that do nothing but start others. To be late costs minutes; to be wrong ends an operation in its middle.
 */
const answerPatienceSeconds = 300;

/** How long a machine has answered nobody. */
export interface Silence {
  readonly seconds: number;
  /** What QEMU took of the processors meanwhile. */
  readonly processorSeconds: number;
}

export interface AnswerWatchOptions {
  /** 300 s when absent. */
  readonly patienceMilliseconds?: number | undefined;
  /** Hears it with each question from then on that is not answered. */
  readonly lost: (silence: Silence) => void;
}

/**
 * Finds the machine whose guest answers nobody any more: its kernel hangs, or its init gets no processor. Time passes here
 * by questions, and not by the clock: a runner that was stopped does not blame its guests for that when it goes on.
 */
export class AnswerWatch {
  readonly #options: AnswerWatchOptions;
  #answer: unknown;
  #askedAt: number | undefined;
  #silentMilliseconds = 0;
  /** When it answered last. */
  #cpuMilliseconds = 0;

  constructor(options: AnswerWatchOptions) {
    this.#options = options;
  }

  /** A question was asked. `answer`: the last one that there is; another than before, however late, is a sign of life. */
  asked(answer: unknown, cpuMilliseconds: number, now: number): void {
    if (answer !== this.#answer || this.#askedAt === undefined) {
      this.#silentMilliseconds = 0;
      this.#cpuMilliseconds = cpuMilliseconds;
    } else {
      this.#silentMilliseconds += Math.min(now - this.#askedAt, mostBetweenQuestionsMilliseconds);
    }
    this.#answer = answer;
    this.#askedAt = now;
    const { patienceMilliseconds = answerPatienceSeconds * 1000, lost } = this.#options;
    if (this.#silentMilliseconds < patienceMilliseconds) return;
    const processorSeconds = (cpuMilliseconds - this.#cpuMilliseconds) / 1000;
    lost({ seconds: this.#silentMilliseconds / 1000, processorSeconds });
  }

  /** Nobody is there to be asked at the moment. */
  notAsked(): void {
    this.#askedAt = undefined;
  }
}
