import { closeSync, fstatSync, openSync, read, readdirSync, unlinkSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const readAt = promisify(read);
const writeAt = promisify(write);

/** A file is followed by another once it has this size, and removed when nothing in it is needed any more. */
const mostSegmentBytes = 2 * 1024 * 1024;
const segmentName = /^segment-(\d{10})$/;

interface Segment {
  readonly path: string;
  readonly descriptor: number;
  /** Bytes in the file, and how many of them, from its beginning on, are not needed any more. */
  bytes: number;
  released: number;
}

/**
 * A first-in, first-out store of bytes in files of a folder, of at most `capacityBytes` together. What was appended is
 * there when the process was killed; then some of what was released may be there again.
 */
export class SpoolSegments {
  readonly capacityBytes: number;
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #segments: Segment[] = [];
  /** What an append is writing to; its bytes count only once they are written. */
  #beingWritten: Segment | undefined;
  #lastNumber = 0;
  #usedBytes = 0;
  #closed = false;

  /** `folder` is there, on the runner's own disk; what a process that was killed has left in it is taken up. */
  constructor(folder: string, capacityBytes: number) {
    this.#folder = folder;
    this.capacityBytes = capacityBytes;
    this.#segmentBytes = Math.min(mostSegmentBytes, capacityBytes / 2);
    const numbers = readdirSync(folder).flatMap((name) => segmentName.exec(name)?.[1] ?? []);
    for (const number of numbers.sort()) this.#open(Number(number), 'r+');
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** What is still in a file counts as used. */
  get freeBytes(): number {
    return this.capacityBytes - this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Appends; `bytes` must fit into `freeBytes`. Appends follow one another: await each before the next. */
  async append(bytes: Buffer): Promise<void> {
    if (bytes.length > this.freeBytes) {
      throw new RangeError(`${bytes.length} bytes do not fit into the spool`);
    }
    const last = this.#segments.at(-1);
    const segment = last && last.bytes < this.#segmentBytes ? last : this.#open(this.#lastNumber + 1, 'wx+');
    this.#beingWritten = segment;
    try {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const { bytesWritten } = await writeAt(segment.descriptor, bytes, done, left, segment.bytes + done);
        done += bytesWritten;
      }
      segment.bytes += bytes.length;
      this.#usedBytes += bytes.length;
    } finally {
      this.#beingWritten = undefined;
    }
  }

  /** Fills `target` with the oldest bytes and answers how many; they stay in the spool until they are released. */
  async peek(target: Buffer): Promise<number> {
    let filled = 0;
    for (const { descriptor, bytes, released } of this.#segments) {
      const wanted = Math.min(target.length - filled, bytes - released);
      if (wanted === 0) continue;
      const { bytesRead } = await readAt(descriptor, target, filled, wanted, released);
      if (bytesRead !== wanted) throw new Error('the log spool could not be read back');
      filled += wanted;
    }
    return filled;
  }

  /** Forgets the oldest `count` bytes. */
  release(count: number): void {
    if (count > this.usedBytes) throw new RangeError(`the spool does not hold ${count} bytes`);
    this.#usedBytes -= count;
    let left = count;
    for (const segment of this.#segments) {
      const released = Math.min(left, segment.bytes - segment.released);
      segment.released += released;
      left -= released;
    }
    while (this.#isSpent(this.#segments[0])) this.#remove(this.#segments.shift());
  }

  /** The files stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { descriptor } of this.#segments) closeSync(descriptor);
  }

  /** The newest file is written on for as long as it is small. */
  #isSpent(segment: Segment | undefined): boolean {
    if (!segment || segment === this.#beingWritten || segment.released < segment.bytes) return false;
    return this.#segments.length > 1 || segment.bytes >= this.#segmentBytes / 2;
  }

  #remove(segment: Segment | undefined): void {
    if (!segment) return;
    closeSync(segment.descriptor);
    unlinkSync(segment.path);
  }

  #open(number: number, flags: 'r+' | 'wx+'): Segment {
    const path = join(this.#folder, `segment-${String(number).padStart(10, '0')}`);
    const descriptor = openSync(path, flags, 0o600);
    const segment = { path, descriptor, bytes: fstatSync(descriptor).size, released: 0 };
    this.#segments.push(segment);
    this.#lastNumber = number;
    this.#usedBytes += segment.bytes;
    return segment;
  }
}
