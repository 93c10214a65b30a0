/** One promise with a number: what Slipway needs, against a named reference measured in the same run. */
export interface Benchmark {
  readonly name: string;
  /** What is measured, what the reference is, and the promise. */
  readonly description: string;
  /** Highest ratio of ours to the reference that keeps the promise of SPECIFICATION.md. */
  readonly maximumRatio: number;
  measure(report: (line: string) => void): Promise<Measurement>;
}

export interface Measurement {
  readonly ours: number;
  readonly reference: number;
  readonly unit: string;
}

/** What one round measured: ours and the reference, one right after the other. */
export interface Round {
  readonly ours: number;
  readonly reference: number;
}

/**
 * The round with the middle ratio (of an even number the higher of the two). The speed of a machine drifts: only what
 * ran side by side can be compared.
 */
export function middleRound(rounds: readonly Round[]): Round {
  const sorted = [...rounds].sort((a, b) => a.ours / a.reference - b.ours / b.reference);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (!middle) throw new Error('Nothing was measured.');
  return middle;
}
