import { harmlessText, type LeftOut, logLineOverheadBytes, mostLastLines } from '@slipway/core';
import type { NewLine } from './chunk.ts';

/** Room for what comes after the cut: headers of steps, the last lines, words of Slipway's own. */
const reservedBytes = 512 * 1024;
const mostLastBytes = 64 * 1024;

/**
 * Keeps a log below its limit. What a run says beyond it is not kept, except the headers of steps and the very last
 * lines, which mostly say why a run failed; and the log says so itself.
 */
export class LogLimit {
  readonly #limitMiB: number;
  #leftBytes: number;
  #droppedLines = 0;
  #droppedBytes = 0;
  #lastDropped: NewLine | undefined;
  #lastLines: CountedLine[] = [];
  #lastBytes = 0;

  constructor(limitMiB: number) {
    this.#limitMiB = limitMiB;
    this.#leftBytes = limitMiB * 1024 * 1024 - reservedBytes;
  }

  /** Whether nothing more is kept but the last lines. */
  get isReached(): boolean {
    return this.#droppedLines > 0;
  }

  /** What the executor has left out, as the limit was reached: what came before it cannot be the last of the log. */
  leaveOut({ lines, bytes }: LeftOut): void {
    this.#droppedLines += lines;
    this.#droppedBytes += bytes + lines * logLineOverheadBytes;
    this.#lastLines = [];
    this.#lastBytes = 0;
  }

  /** Those of `lines`, which come next, that are kept; where the log is cut, a line that says so is among them. */
  take(lines: readonly NewLine[]): NewLine[] {
    return lines.flatMap((line) => {
      const bytes = bytesOf(line);
      if (line.kind === 'header' || bytes <= this.#leftBytes) {
        this.#leftBytes -= bytes;
        return [line];
      }
      const isFirst = this.#droppedLines === 0;
      this.#drop({ line, bytes });
      return isFirst ? [noticeAt(line, this.#cutNotice)] : [];
    });
  }

  /** What comes at the end of a log that was cut: how much is missing, and the last lines of that. */
  end(): NewLine[] {
    const lastLines = this.#lastLines.map(({ line }) => line);
    const place = lastLines[0] ?? this.#lastDropped;
    const missing = this.#droppedLines - lastLines.length;
    if (!place || missing === 0) return lastLines;
    const mebibytes = Math.ceil((this.#droppedBytes - this.#lastBytes) / 1024 ** 2);
    const size = `${missing.toLocaleString('en')} lines of about ${mebibytes.toLocaleString('en')} MiB`;
    const text = `[${size} were not kept${lastLines.length > 0 ? '; these are the last ones:' : '.'}]`;
    return [noticeAt(place, text), ...lastLines];
  }

  get #cutNotice(): string {
    return `[The log has reached its limit of ${this.#limitMiB} MiB. What follows is not kept, except for its last lines.]`;
  }

  get #hasTooManyLastLines(): boolean {
    const { length } = this.#lastLines;
    return length > mostLastLines || (length > 1 && this.#lastBytes > mostLastBytes);
  }

  #drop(dropped: CountedLine): void {
    // From here on everything is dropped: a log with holes would mislead.
    this.#leftBytes = 0;
    this.#droppedLines += 1;
    this.#droppedBytes += dropped.bytes;
    this.#lastDropped = dropped.line;
    // The end of a longer line may be that of a secret, which nobody recognises without its beginning.
    if (dropped.line.piece) return;
    this.#lastLines.push(dropped);
    this.#lastBytes += dropped.bytes;
    while (this.#hasTooManyLastLines) this.#lastBytes -= this.#lastLines.shift()?.bytes ?? 0;
  }
}

/** A line, and what it counts. */
interface CountedLine {
  readonly line: NewLine;
  readonly bytes: number;
}

/** Words of the runner's own, where a line stood. */
function noticeAt({ step, timestamp }: NewLine, text: string): NewLine {
  return { step, kind: 'notice', timestamp, text };
}

/** What the control plane counts: it stores a control character as a picture of itself, which has three bytes. */
function bytesOf({ text }: NewLine): number {
  return Buffer.byteLength(harmlessText(text)) + logLineOverheadBytes;
}
