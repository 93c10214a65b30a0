/** Whether, and how patiently, the run is to end. */
export class Cancellation {
  readonly #interrupt = new AbortController();
  readonly #kill = new AbortController();

  /** Aborted when the running command is to be interrupted. */
  readonly interrupted: AbortSignal = this.#interrupt.signal;
  /** Aborted when the running command is to be killed. */
  readonly killed: AbortSignal = this.#kill.signal;

  /** Interrupts now and kills `graceSeconds` later. The first request counts; later ones change nothing. */
  request(graceSeconds: number): void {
    if (this.interrupted.aborted) return;
    this.#interrupt.abort();
    setTimeout(() => this.#kill.abort(), graceSeconds * 1000).unref();
  }

  /** The runner is gone: nothing that still runs has a purpose. */
  kill(): void {
    this.#interrupt.abort();
    this.#kill.abort();
  }
}
