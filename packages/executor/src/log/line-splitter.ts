import { type LinePiece, maximumLineCharacters } from '@slipway/core';

/** A line, without its newline, or a piece of a longer one. */
export interface Line {
  readonly text: string;
  readonly piece?: LinePiece;
}

/** Cuts a stream of text into lines. Longer lines come in pieces, so that it holds at most one line of the protocol. */
export class LineSplitter {
  readonly #nextLongLine: () => number;
  #rest = '';
  /** The number of the line of which `#rest` is the end so far, where pieces of it were answered. */
  #longLine: number | undefined;

  /** `nextLongLine` numbers the lines that come in pieces. */
  constructor(nextLongLine: () => number) {
    this.#nextLongLine = nextLongLine;
  }

  /** The lines that `text` completes. */
  push(text: string): Line[] {
    const texts = (this.#rest + text).split('\n');
    const rest = texts.pop() ?? '';
    const lines: Line[] = [];
    for (const complete of texts) lines.push(this.#last(this.#cut(complete.replace(/\r$/, ''), lines)));
    this.#rest = this.#cut(rest, lines);
    return lines;
  }

  /** The last line, when no newline ended it. */
  end(): Line[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [this.#last(rest)];
  }

  /** Adds the pieces of a line to `lines`, but for the last one, which it answers. */
  #cut(line: string, lines: Line[]): string {
    let start = 0;
    while (line.length - start > maximumLineCharacters) {
      this.#longLine ??= this.#nextLongLine();
      const end = start + pieceLength(line, start);
      lines.push({ text: line.slice(start, end), piece: { line: this.#longLine, isLast: false } });
      start = end;
    }
    return line.slice(start);
  }

  #last(text: string): Line {
    const line = this.#longLine;
    this.#longLine = undefined;
    return line === undefined ? { text } : { text, piece: { line, isLast: true } };
  }
}

/** At most a line of the protocol, and no surrogate pair cut in two. */
function pieceLength(line: string, start: number): number {
  const last = line.charCodeAt(start + maximumLineCharacters - 1);
  const isFirstHalfOfPair = last >= 0xd800 && last <= 0xdbff;
  return isFirstHalfOfPair ? maximumLineCharacters - 1 : maximumLineCharacters;
}
