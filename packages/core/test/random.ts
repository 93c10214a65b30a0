/** A seeded source of randomness (mulberry32), so that a failing case can be run again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  text(alphabet: string, length: number): string {
    return Array.from({ length }, () => alphabet.charAt(this.below(alphabet.length))).join('');
  }

  /** `text` cut into pieces of 1 to `longest` units; works for strings and buffers. */
  pieces<Sequence extends { length: number; slice(start: number, end: number): Sequence }>(
    text: Sequence,
    longest: number,
  ): Sequence[] {
    const pieces: Sequence[] = [];
    for (let start = 0; start < text.length; ) {
      const end = start + 1 + this.below(longest);
      pieces.push(text.slice(start, end));
      start = end;
    }
    return pieces;
  }
}
