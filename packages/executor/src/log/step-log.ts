import {
  type LeftOut,
  type LinePiece,
  maskWith,
  maximumLineCharacters,
  type SecretPatterns,
} from '@slipway/core';
import type { RunnerConnection } from '../runner-connection.ts';
import { type Line, LineSplitter } from './line-splitter.ts';
import { OutputCopy } from './output-copy.ts';

/** The log of one step. Nothing leaves it unmasked. */
export class StepLog {
  readonly #connection: RunnerConnection;
  readonly #patterns: SecretPatterns;
  readonly #step: number;
  #longLines = 0;

  constructor(connection: RunnerConnection, patterns: SecretPatterns, step: number) {
    this.#connection = connection;
    this.#patterns = patterns;
    this.#step = step;
  }

  /** Writes text of the executor itself, line by line. Settles when the runner can take more. */
  async write(text: string): Promise<void> {
    const splitter = new LineSplitter(() => this.#nextLongLine());
    await this.#send([...splitter.push(maskWith(this.#patterns, text)), ...splitter.end()]);
  }

  /**
   * Writes the output of a command as it comes, until its streams end. They are read no faster than the runner takes it,
   * so a command that writes too much waits, until the log is full: from then on only the newest lines are sent.
   * `seen` gets every line as it was sent.
   */
  async copy(streams: readonly AsyncIterable<Buffer>[], seen: (line: string) => void): Promise<void> {
    const copy = new OutputCopy(this.#patterns, {
      isFull: () => this.#connection.logIsFull,
      send: async (lines, leftOut) => {
        for (const { text } of lines) seen(text);
        await this.#send(lines, leftOut);
      },
      nextLongLine: () => this.#nextLongLine(),
    });
    await Promise.all(streams.map((stream) => copy.read(stream)));
  }

  #nextLongLine(): number {
    this.#longLines += 1;
    return this.#longLines;
  }

  async #send(lines: readonly Line[], leftOut?: LeftOut): Promise<void> {
    const timestamp = Date.now();
    const frame = { type: 'log', step: this.#step, timestamp } as const;
    const frames = groupsOf(lines).map((group) => ({ ...frame, ...group }));
    const [first = { ...frame, lines: [] }, ...rest] = frames;
    // What is left out travels with the lines behind it: the runner forgets those before it, and may hear no more.
    await this.#connection.send(leftOut ? [{ ...first, leftOut }, ...rest] : frames);
  }
}

interface LineGroup {
  readonly lines: string[];
  readonly piece?: LinePiece;
}

/** Lines in groups that fit in a frame each, whatever their characters; a piece of a longer line by itself. */
function groupsOf(lines: readonly Line[]): LineGroup[] {
  const groups: LineGroup[] = [];
  let characters = 0;
  for (const { text, piece } of lines) {
    characters += text.length + 1;
    const group = groups.at(-1);
    if (group && !group.piece && !piece && characters <= maximumLineCharacters) {
      group.lines.push(text);
    } else {
      groups.push({ lines: [text], ...(piece && { piece }) });
      characters = text.length + 1;
    }
  }
  return groups;
}
