/** The calls whose handlers have not ended yet, those of clients that are gone included: they still use the database. */
export class CallsUnderWay {
  readonly #calls = new Set<Promise<unknown>>();

  /** Answers what the call answers. */
  async track<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  async ended(): Promise<void> {
    await Promise.allSettled(this.#calls);
  }
}
