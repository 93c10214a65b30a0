import { freeBuffer, type LeftOut, mostLastLines } from '@slipway/core';
import { addChunk, type Chunk } from './chunks.ts';
import { leftOutOf, nothingLeftOut, sumOf } from './left-out.ts';
import type { Line } from './line-splitter.ts';
import type { OutputLines } from './output-lines.ts';

/** Of each stream: more than the last lines of a log may take, and than what is dropped behind a gap. */
const leastKeptBytes = 96 * 1024;

/** What a stream printed last, and what of it is gone by now. */
interface Tail {
  readonly chunks: Chunk[];
  bytes: number;
  missing: LeftOut;
}

/**
 * Keeps what the streams of a step print newest, and counts the rest, as fast as they can be read: nothing is decoded,
 * searched for secrets or cut into lines before it is taken.
 */
export class NewestOutput {
  readonly #tails = new Map<OutputLines, Tail>();
  #chunkCount = 0;

  push(stream: OutputLines, bytes: Buffer): void {
    const tail = this.#tails.get(stream) ?? { chunks: [], bytes: 0, missing: nothingLeftOut };
    this.#tails.set(stream, tail);
    this.#chunkCount += 1;
    addChunk(tail.chunks, { number: this.#chunkCount, bytes });
    tail.bytes += bytes.length;
    while (tail.bytes - (tail.chunks[0]?.bytes.length ?? tail.bytes) >= leastKeptBytes) dropOldest(tail);
  }

  /** The last lines, in the order in which they were read, and what was left out before them. */
  take(): { readonly lines: readonly Line[]; readonly leftOut: LeftOut } {
    const lines: Line[] = [];
    for (const [stream, { missing }] of this.#tails) if (missing.bytes > 0) stream.skip(missing);
    const chunks = [...this.#tails].flatMap(([stream, tail]) =>
      tail.chunks.map((chunk) => ({ stream, ...chunk })),
    );
    for (const { stream, bytes } of chunks.toSorted((one, other) => one.number - other.number)) {
      for (const line of stream.push(bytes)) lines.push(line);
      freeBuffer(bytes);
    }
    const first = Math.max(0, lines.length - mostLastLines);
    const older = lines.slice(0, first);
    const leftOut = [...this.#tails.keys()].map((stream) => stream.takeLeftOut());
    leftOut.push({
      lines: older.length,
      bytes: older.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
    });
    this.#tails.clear();
    return { lines: lines.slice(first), leftOut: leftOut.reduce(sumOf, nothingLeftOut) };
  }
}

function dropOldest(tail: Tail): void {
  const oldest = tail.chunks.shift();
  if (!oldest) return;
  tail.bytes -= oldest.bytes.length;
  tail.missing = sumOf(tail.missing, leftOutOf(oldest.bytes));
  freeBuffer(oldest.bytes);
}
