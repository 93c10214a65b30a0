import { Duplex } from 'node:stream';

/**
 * The channel to the process in the guest. A virtio port has no end of its own: the guest's init writes a mark after
 * everything that the process wrote, and here the stream ends. The mark is a secret of init, so the process cannot
 * write it.
 *
 * Bytes that may be the beginning of the mark are held until more come. It begins with a letter or digit, as no message of
 * the executor ends, so none is ever held up.
 *
 * Nothing is read from `port` unless somebody reads this stream, so back-pressure reaches inside.
 */
export class ExecutorStream extends Duplex {
  readonly #port: Duplex;
  readonly #endMark: Buffer;
  /** What may be the beginning of the mark. */
  #held: Buffer = Buffer.alloc(0);

  constructor(port: Duplex, endMark: string) {
    super({ allowHalfOpen: true });
    this.#port = port;
    this.#endMark = Buffer.from(endMark, 'latin1');
    port.pause();
    port.on('data', (chunk: Buffer) => this.#take(chunk));
    port.on('end', () => this.#finish());
    // The virtual machine is gone: how it ended is told elsewhere.
    port.on('error', () => this.#finish());
    port.on('close', () => this.#finish());
  }

  override _read(): void {
    this.#port.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // Nobody is there to read it any more; that is no error of the writer.
    if (this.#port.writable) this.#port.write(chunk, () => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#port.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.indexOf(this.#endMark);
    if (end >= 0) {
      this.#held = Buffer.alloc(0);
      if (end > 0) this.push(bytes.subarray(0, end));
      this.#finish();
      return;
    }
    const certain = bytes.length - beginningAtEnd(bytes, this.#endMark);
    this.#held = Buffer.from(bytes.subarray(certain));
    if (certain > 0 && !this.push(bytes.subarray(0, certain))) this.#port.pause();
  }

  #finish(): void {
    if (this.readableEnded || this.destroyed) return;
    if (this.#held.length > 0) this.push(this.#held);
    this.#held = Buffer.alloc(0);
    this.#port.removeAllListeners('data');
    // What still comes is nobody's, and must not hold up the machine.
    this.#port.resume();
    this.push(null);
  }
}

/** How many bytes at the end of `bytes` may be the beginning of `mark`. */
function beginningAtEnd(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(mark.length - 1, bytes.length); length > 0; length -= 1) {
    if (bytes.subarray(bytes.length - length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}
