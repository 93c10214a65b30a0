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

/** The middle one of an odd number of values, else the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  const lower = sorted[Math.ceil(middle) - 1] ?? Number.NaN;
  return (upper + lower) / 2;
}
