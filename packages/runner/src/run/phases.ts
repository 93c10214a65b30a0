/**
 * The phases of a run whose time is measured. `claim`: the claim call, waiting included. `image` and `network` overlap.
 * `warm`: until a sandbox that was started ahead of time was the run's; it has neither `network`, `sandbox`, `boot` nor
 * `ready`.
 * `sandbox`: volume made and process started on the host. `boot`: until the executor's process was started inside.
 * `ready`: until it said so. `firstLogLine`: from the job to the executor's first line. `execute`: from the job to the
 * result. `destroy`: until the sandbox was proven gone.
 */
export type Phase =
  | 'claim'
  | 'image'
  | 'network'
  | 'warm'
  | 'sandbox'
  | 'boot'
  | 'ready'
  | 'job'
  | 'firstLogLine'
  | 'execute'
  | 'destroy';

/** Milliseconds by a clock that only goes forward. */
export type MonotonicClock = () => number;

/** How long the phases of one run took, in milliseconds. Each is measured once; the first time counts. */
export class Phases {
  readonly #clock: MonotonicClock;
  readonly #milliseconds = new Map<Phase, number>();

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  /** Measures until `work` settles, however it does. */
  async measure<T>(phase: Phase, work: Promise<T>): Promise<T> {
    const end = this.begin(phase);
    try {
      return await work;
    } finally {
      end();
    }
  }

  /** Answers a function that ends the phase. */
  begin(phase: Phase): () => void {
    const startedAt = this.#clock();
    return () => this.record(phase, this.#clock() - startedAt);
  }

  record(phase: Phase, milliseconds: number): void {
    if (!this.#milliseconds.has(phase)) this.#milliseconds.set(phase, Math.round(milliseconds));
  }

  toRecord(): Record<string, number> {
    return Object.fromEntries(this.#milliseconds);
  }
}
