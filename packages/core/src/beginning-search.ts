/** Characters of a text's beginning that are looked at. More would make longer steps, and the table longer to fill. */
const mostWindowCharacters = 64;
/** One entry for each pair of ASCII characters; other pairs share them. */
const tableSize = 128 * 128;

/**
 * Finds where one of many texts may begin, in long steps (Wu and Manber, "A fast algorithm for multi-pattern searching",
 * 1994): a window as long as the shortest text moves over what is searched, and the last two characters in it tell how far
 * it can move on without passing over a beginning.
 */
export class BeginningSearch {
  /** 0 when there are no texts. */
  readonly #windowLength: number;
  /** By pair of characters: how many characters behind it a window ends at the earliest. */
  readonly #steps: Uint8Array;

  constructor(texts: readonly string[]) {
    const shortest = texts.reduce((length, text) => Math.min(length, text.length), mostWindowCharacters);
    this.#windowLength = texts.length === 0 ? 0 : shortest;
    this.#steps = new Uint8Array(tableSize).fill(Math.max(1, shortest - 1));
    for (const text of texts) {
      for (let at = 1; at < shortest; at += 1) {
        const pair = pairOf(text, at);
        this.#steps[pair] = Math.min(this.#steps[pair] ?? 0, shortest - 1 - at);
      }
    }
  }

  /** The first index, not before `from`, at which a text may begin in `searched`; its length when none does. */
  next(searched: string, from: number): number {
    const { length } = searched;
    if (this.#windowLength === 0) return length;
    if (this.#windowLength === 1) return from;
    let last = from + this.#windowLength - 1;
    while (last < length) {
      const step = this.#steps[pairOf(searched, last)] ?? 0;
      if (step === 0) break;
      last += step;
    }
    return Math.min(last - this.#windowLength + 1, length);
  }
}

/** Which entry stands for the character at an index and the one before it. */
function pairOf(text: string, at: number): number {
  return ((text.charCodeAt(at - 1) << 7) ^ text.charCodeAt(at)) & (tableSize - 1);
}
