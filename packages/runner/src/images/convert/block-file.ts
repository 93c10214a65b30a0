import { readSync, writeSync } from 'node:fs';

export const blockBytes = 4096;
const bufferBytes = 1024 * 1024;

/**
 * A file that is written in pieces, mostly one behind the other. Synchronous: its process does nothing else, and a
 * hundred thousand small files are many pieces.
 */
export class BlockFile {
  readonly #descriptor: number;
  readonly #buffer = Buffer.alloc(bufferBytes);
  #bufferedAt = 0;
  #buffered = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(position: number, bytes: Buffer): void {
    const follows = position === this.#bufferedAt + this.#buffered;
    if (!follows || this.#buffered + bytes.length > bufferBytes) this.flush();
    if (bytes.length > bufferBytes) {
      writeAll(this.#descriptor, bytes, position);
      return;
    }
    if (this.#buffered === 0) this.#bufferedAt = position;
    bytes.copy(this.#buffer, this.#buffered);
    this.#buffered += bytes.length;
  }

  read(position: number, length: number): Buffer {
    this.flush();
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const read = readSync(this.#descriptor, bytes, done, length - done, position + done);
      if (read === 0) break;
      done += read;
    }
    return bytes;
  }

  flush(): void {
    writeAll(this.#descriptor, this.#buffer.subarray(0, this.#buffered), this.#bufferedAt);
    this.#buffered = 0;
  }
}

function writeAll(descriptor: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}
