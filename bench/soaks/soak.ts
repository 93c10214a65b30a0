/** A promise that only shows after a long time. */
export interface Soak {
  readonly name: string;
  /** With its arguments. */
  readonly usage: string;
  readonly description: string;
  /** Rejects when the promise was broken. `words` are the arguments. */
  run(words: readonly string[], report: (line: string) => void): Promise<void>;
}
