import { maximumLineCharacters } from '@slipway/core';

/** Cuts a stream of text into lines. Longer lines come in pieces, so that it holds at most one line of the protocol. */
export class LineSplitter {
  #rest = '';

  /** The lines that `text` completes, without their newlines. */
  push(text: string): string[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = '';
    const pieces: string[] = [];
    for (const [index, line] of lines.entries()) {
      const complete = index < lines.length - 1;
      let start = 0;
      while (line.length - start > maximumLineCharacters) {
        const end = start + pieceLength(line, start);
        pieces.push(line.slice(start, end));
        start = end;
      }
      if (complete) pieces.push(line.slice(start).replace(/\r$/, ''));
      else this.#rest = line.slice(start);
    }
    return pieces;
  }

  /** The last line, when no newline ended it. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

/** At most a line of the protocol, and no surrogate pair cut in two. */
function pieceLength(line: string, start: number): number {
  const last = line.charCodeAt(start + maximumLineCharacters - 1);
  const isFirstHalfOfPair = last >= 0xd800 && last <= 0xdbff;
  return isFirstHalfOfPair ? maximumLineCharacters - 1 : maximumLineCharacters;
}
