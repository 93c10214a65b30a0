import { randomBytes } from 'node:crypto';
import { closeSync, openSync, read, unlinkSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const readAt = promisify(read);
const writeAt = promisify(write);

/**
 * A first-in, first-out store of bytes in a file without a name: it is unlinked before the first byte is written, so
 * that no other process finds it and a crash leaves nothing. The file is a ring of `capacityBytes`, all it can take.
 */
export class SpoolFile {
  readonly capacityBytes: number;
  readonly #descriptor: number;
  /** Counted over the whole life; the place in the file is the remainder by the capacity. */
  #written = 0;
  #released = 0;
  #closed = false;

  /** `directory` is on the runner's own disk and can be written by it. */
  constructor(directory: string, capacityBytes: number) {
    const path = join(directory, `spool-${randomBytes(8).toString('hex')}`);
    this.capacityBytes = capacityBytes;
    this.#descriptor = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
  }

  get usedBytes(): number {
    return this.#written - this.#released;
  }

  get freeBytes(): number {
    return this.capacityBytes - this.usedBytes;
  }

  /** Appends; `bytes` must fit into `freeBytes`. Appends follow one another: await each before the next. */
  async append(bytes: Buffer): Promise<void> {
    if (bytes.length > this.freeBytes)
      throw new RangeError(`${bytes.length} bytes do not fit into the spool`);
    await this.#eachPart(this.#written, bytes, async (part, position) => {
      let done = 0;
      while (done < part.length) {
        const { bytesWritten } = await writeAt(
          this.#descriptor,
          part,
          done,
          part.length - done,
          position + done,
        );
        done += bytesWritten;
      }
    });
    this.#written += bytes.length;
  }

  /** Fills `target` with the oldest bytes and answers how many; they stay in the spool until they are released. */
  async peek(target: Buffer): Promise<number> {
    const bytes = target.subarray(0, this.usedBytes);
    await this.#eachPart(this.#released, bytes, async (part, position) => {
      const { bytesRead } = await readAt(this.#descriptor, part, 0, part.length, position);
      if (bytesRead !== part.length) throw new Error('the log spool could not be read back');
    });
    return bytes.length;
  }

  /** Forgets the oldest `count` bytes. */
  release(count: number): void {
    if (count > this.usedBytes) throw new RangeError(`the spool does not hold ${count} bytes`);
    this.#released += count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }

  /** The one or two stretches of the file in which `bytes` lie that start at `offset`. */
  async #eachPart(
    offset: number,
    bytes: Buffer,
    visit: (part: Buffer, position: number) => Promise<void>,
  ): Promise<void> {
    const position = offset % this.capacityBytes;
    const untilEnd = this.capacityBytes - position;
    if (bytes.length > 0) await visit(bytes.subarray(0, untilEnd), position);
    if (bytes.length > untilEnd) await visit(bytes.subarray(untilEnd), 0);
  }
}
