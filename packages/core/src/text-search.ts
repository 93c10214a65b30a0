import { BeginningSearch } from './beginning-search.ts';

/** Lengths of texts are kept in 16 bits. */
const maximumTextLength = 0xffff;

/**
 * Finds many texts at once, reading what is searched once, character by character (Aho and Corasick, "Efficient string
 * matching", 1975): how long that takes depends neither on how many texts are looked for, nor on how alike they begin.
 *
 * A place is a number that stands for a beginning of one of the texts: the longest one with which what was read so far
 * ends. Places are numbered by the length of their beginning, and then in its order, so that those which continue one
 * stand side by side, in the order of their last characters. Takes 14 bytes a place; there are at most as many as the
 * texts have characters.
 */
export class TextSearch {
  /** The place at which nothing of any text was read. */
  static readonly start = 0;

  /** By place: the last character of its beginning. */
  readonly #characters: Uint16Array;
  /** By place: the first of the places that continue it; they end where those of the next place begin. */
  readonly #continuations: Int32Array;
  /** By place: the place of the longest other beginning with which its own ends. */
  readonly #fallbacks: Int32Array;
  /** By place: the length of the longest text that ends there, 0 without one. */
  readonly #endingLengths: Uint16Array;
  /** By place: the length of the longest beginning that ends there and of which a text is left to come. */
  readonly #openLengths: Uint16Array;
  /** Whether any text begins with a character of this code (modulo the table's size): most do not. */
  readonly #firstCharacters = new Uint8Array(256);
  readonly #beginnings: BeginningSearch;

  /** Throws a `RangeError` for a text that is empty or longer than 65535. */
  constructor(texts: Iterable<string>) {
    const sorted = [...new Set(texts)].sort();
    for (const { length } of sorted) {
      if (length === 0 || length > maximumTextLength)
        throw new RangeError(
          `A text to be found has 1 to ${maximumTextLength} characters; one has ${length}.`,
        );
    }
    const characterCount = sorted.reduce((sum, text) => sum + text.length, 0);
    this.#characters = new Uint16Array(characterCount + 1);
    this.#continuations = new Int32Array(characterCount + 2);
    this.#endingLengths = new Uint16Array(characterCount + 1);
    this.#openLengths = new Uint16Array(characterCount + 1);
    this.#fallbacks = new Int32Array(characterCount + 1);
    this.#beginnings = new BeginningSearch(sorted);
    this.#number(sorted);
    this.#connect();
  }

  /** The first index, not before `from`, at which a text may begin in `searched`; its length when none does. */
  nextBeginning(searched: string, from: number): number {
    return this.#beginnings.next(searched, from);
  }

  /** The place after one more character. */
  next(place: number, character: number): number {
    if (place === TextSearch.start && this.#firstCharacters[character & 0xff] === 0) return place;
    for (let from = place; ; from = this.#fallbacks[from] ?? 0) {
      const reached = this.#follow(from, character);
      if (reached !== TextSearch.start || from === TextSearch.start) return reached;
    }
  }

  /** How long the longest text is that ends at a place; 0 when none does. */
  endingLength(place: number): number {
    return this.#endingLengths[place] ?? 0;
  }

  /** How much of what was read last may be the beginning of a text whose end is still to come. */
  openLength(place: number): number {
    return this.#openLengths[place] ?? 0;
  }

  /** Numbers the places, length by length. */
  #number(sorted: readonly string[]): void {
    let count = 1;
    let ways = sorted.map((text) => ({ text, place: TextSearch.start }));
    for (let length = 1; ways.length > 0; length += 1) {
      // Two texts that begin alike stand side by side.
      let parent = -1;
      let lastCharacter = -1;
      for (const way of ways) {
        const character = way.text.charCodeAt(length - 1);
        if (way.place !== parent || character !== lastCharacter) {
          parent = way.place;
          lastCharacter = character;
          this.#characters[count] = character;
          count += 1;
          this.#continuations[parent + 1] = count;
        }
        way.place = count - 1;
        if (way.text.length === length) this.#endingLengths[way.place] = length;
      }
      ways = ways.filter(({ text }) => text.length > length);
    }
    // What has no continuation has none between where those before it end and those behind it begin.
    this.#continuations[0] = 1;
    for (let place = 1; place <= count; place += 1)
      this.#continuations[place] ||= this.#continuations[place - 1] ?? 0;
  }

  /** Says of each place where the search goes on from it, those of shorter beginnings first. */
  #connect(): void {
    let first = TextSearch.start;
    let end = 1;
    for (let length = 1; first < end; length += 1) {
      for (let parent = first; parent < end; parent += 1) {
        for (let place = this.#continuation(parent); place < this.#continuation(parent + 1); place += 1) {
          const character = this.#characters[place] ?? 0;
          if (parent === TextSearch.start) this.#firstCharacters[character & 0xff] = 1;
          else this.#fallbacks[place] = this.next(this.#fallbacks[parent] ?? 0, character);
          const fallback = this.#fallbacks[place] ?? 0;
          this.#endingLengths[place] ||= this.endingLength(fallback);
          const isOpen = this.#continuation(place) < this.#continuation(place + 1);
          this.#openLengths[place] = isOpen ? length : this.openLength(fallback);
        }
      }
      first = end;
      end = this.#continuation(end);
    }
  }

  #continuation(place: number): number {
    return this.#continuations[place] ?? 0;
  }

  /** The place that continues another with a character; the start when none does. */
  #follow(place: number, character: number): number {
    let first = this.#continuation(place);
    let end = this.#continuation(place + 1);
    while (first < end) {
      const middle = (first + end) >>> 1;
      const found = this.#characters[middle] ?? 0;
      if (found === character) return middle;
      if (found < character) first = middle + 1;
      else end = middle;
    }
    return TextSearch.start;
  }
}
