import { freeBuffer } from '@slipway/core';

/** So many of the newest chunks stay apart, so that what several streams say is told in its order. */
const apartChunks = 256;
/** Older ones are put together up to this size: a program may write each byte on its own. */
const joinedBytes = 1024;

/** What was read of a stream at once. */
export interface Chunk {
  /** Counts the chunks of all streams. */
  readonly number: number;
  readonly bytes: Buffer;
  /** What the bytes of several are put together in: they are its beginning. */
  readonly block?: Buffer;
}

/** Adds a chunk behind the others, of which there are never many more than their bytes make necessary. */
export function addChunk(chunks: Chunk[], chunk: Chunk): void {
  chunks.push(chunk);
  const at = chunks.length - apartChunks - 2;
  const one = chunks[at];
  const next = chunks[at + 1];
  if (!one || !next || one.bytes.length + next.bytes.length > joinedBytes) return;
  chunks.splice(at, 2, joined(one, next));
}

/** In place, where there is a block: a new one for each byte would be garbage by the megabyte. */
function joined(one: Chunk, next: Chunk): Chunk {
  const block = one.block ?? Buffer.allocUnsafeSlow(joinedBytes);
  const bytes = block.subarray(0, one.bytes.length + next.bytes.length);
  next.bytes.copy(block, one.bytes.length);
  freeBuffer(next.bytes);
  if (!one.block) {
    one.bytes.copy(block);
    freeBuffer(one.bytes);
  }
  return { number: next.number, bytes, block };
}
