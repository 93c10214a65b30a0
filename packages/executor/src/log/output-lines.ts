import { StringDecoder } from 'node:string_decoder';
import { type LeftOut, maximumPatternLength, type SecretPatterns, StreamMasker } from '@slipway/core';
import { leftOutOf, nothingLeftOut, sumOf } from './left-out.ts';
import { type Line, LineSplitter } from './line-splitter.ts';

/**
 * Characters behind a gap that may belong to a secret which began in the gap, and so would not be recognised; and those
 * that the masker may hold back together with them.
 */
const unsureCharacters = 2 * maximumPatternLength;

/**
 * Makes lines of what one stream of a command prints, masked. Each stream is masked on its own: a secret cannot hide in
 * the interleaving.
 */
export class OutputLines {
  readonly #patterns: SecretPatterns;
  readonly #nextLongLine: () => number;
  #decoder = new StringDecoder('utf8');
  #masker: StreamMasker;
  #splitter: LineSplitter;
  /** How many characters are still unsure, and whether what comes behind them is the end of a line that began in a gap. */
  #unsureCharacters = 0;
  #isInsideLine = false;
  #leftOut = nothingLeftOut;

  /** `nextLongLine` numbers the lines that come in pieces. */
  constructor(patterns: SecretPatterns, nextLongLine: () => number) {
    this.#patterns = patterns;
    this.#nextLongLine = nextLongLine;
    this.#masker = new StreamMasker(patterns);
    this.#splitter = new LineSplitter(nextLongLine);
  }

  /** The lines that `bytes` complete. */
  push(bytes: Buffer): Line[] {
    return this.#linesOf(this.#masked(this.#decoder.write(bytes)));
  }

  /** The last line, when no newline ended it. */
  end(): Line[] {
    const masked = this.#masked(this.#decoder.end()) + this.#masker.end();
    return [...this.#linesOf(masked), ...this.#splitter.end()];
  }

  /**
   * What comes next follows `missing`. No line shows what was under way before it, nor the first ones behind it, nor the end
   * of one: it may be the end of a secret that is not known here, which nobody would recognise without its beginning.
   */
  skip(missing: LeftOut): void {
    this.#leaveOut(this.#masker.held.text);
    this.#leftOut = sumOf(this.#leftOut, missing);
    this.#decoder = new StringDecoder('utf8');
    this.#masker = new StreamMasker(this.#patterns);
    this.#splitter = new LineSplitter(this.#nextLongLine);
    this.#unsureCharacters = unsureCharacters;
    this.#isInsideLine = true;
  }

  /** What was left out since this was asked last. */
  takeLeftOut(): LeftOut {
    const leftOut = this.#leftOut;
    this.#leftOut = nothingLeftOut;
    return leftOut;
  }

  #masked(text: string): string {
    if (this.#unsureCharacters === 0) return this.#masker.push(text);
    const unsure = text.slice(0, this.#unsureCharacters);
    this.#unsureCharacters -= unsure.length;
    this.#leaveOut(this.#masker.push(unsure));
    return this.#masker.push(text.slice(unsure.length));
  }

  #linesOf(masked: string): Line[] {
    if (!this.#isInsideLine) return this.#splitter.push(masked);
    const newline = masked.indexOf('\n');
    this.#isInsideLine = newline < 0;
    const end = newline < 0 ? masked.length : newline + 1;
    this.#leaveOut(masked.slice(0, end));
    return this.#splitter.push(masked.slice(end));
  }

  #leaveOut(text: string): void {
    this.#leftOut = sumOf(this.#leftOut, leftOutOf(Buffer.from(text)));
  }
}
