import { type RoomPatience, roomPatienceSeconds, whileDiskIsFull } from '../host-disk.ts';
import { chunksOf, type NewLine } from './chunk.ts';
import { SpoolSegments } from './spool-segments.ts';

/** What a run may have waiting for the control plane, at most. */
const spoolCapacityBytes = 64 * 1024 * 1024;
const maximumBatchChunks = 500;
/** To send and store a batch costs as much as some hundred kilobytes of it. The longest line takes up to 400 KiB. */
const maximumBatchBytes = 512 * 1024;

/** Lines of one `append` are written in pieces of about this size. */
const appendCharacters = 64 * 1024;

/** Lines that wait to be acknowledged. */
export interface LogBatch {
  /** JSON texts of chunks, with commas between them: the inside of an array. */
  readonly json: Buffer;
  /** Of the spool; to be released once the batch is acknowledged. */
  readonly bytes: number;
}

/**
 * The log of one run on its way to the control plane. A line that `append` has taken is kept until it is acknowledged,
 * also when this process is killed. Chunks lie in files as JSON text, one a line, and nothing of them is kept in memory: a
 * batch is a stretch of these files, cut at the last whole chunk.
 */
export class LogSpool {
  readonly #folder: string;
  readonly #file: SpoolSegments;
  #lastSequence = 0;
  /** One for all batches, as large as the largest so far: a buffer for each would be garbage by the megabyte. */
  #batch = Buffer.alloc(0);
  #changed = Promise.withResolvers<void>();
  #appending: Promise<void> = Promise.resolve();

  /** `folder` is the spool's own. Lines that a process which was killed left in it are taken up. */
  constructor(folder: string, capacityBytes = spoolCapacityBytes) {
    this.#folder = folder;
    this.#file = new SpoolSegments(folder, capacityBytes);
  }

  /** Number of the newest line in the spool; 0 before the first one. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  get isEmpty(): boolean {
    return this.#file.usedBytes === 0;
  }

  /** Enough waits to fill a batch. */
  get holdsFullBatch(): boolean {
    return this.#file.usedBytes >= maximumBatchBytes;
  }

  /** Settles when lines are appended or acknowledged, or at `wake`. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /**
   * Takes lines in order and answers when they are in the spool. While the spool is full it waits: whoever awaits it
   * before reading on passes the pressure back to the sandbox. Rejects with the reason of `signal` when aborted, and with
   * `HostDiskFull` when the host's disk is full for longer than the caller has patience.
   */
  append(
    lines: readonly NewLine[],
    signal: AbortSignal,
    patience: RoomPatience = { milliseconds: roomPatienceSeconds * 1000 },
  ): Promise<void> {
    // Numbers follow the order of the calls, also when one of them has to wait for room.
    const appended = this.#appending.then(() => this.#write(lines, signal, patience));
    this.#appending = appended.catch(() => undefined);
    return appended;
  }

  /**
   * The oldest lines, at most 500 chunks and 512 KiB; undefined when there are none. There is one batch at a time: its bytes
   * are overwritten by the next call.
   */
  async nextBatch(): Promise<LogBatch | undefined> {
    const wantedBytes = Math.min(this.#file.usedBytes, maximumBatchBytes);
    if (this.#batch.length < wantedBytes) {
      this.#batch = Buffer.allocUnsafeSlow(Math.min(maximumBatchBytes, 2 * wantedBytes));
    }
    const bytes = this.#batch.subarray(0, await this.#file.peek(this.#batch));
    let chunks = 0;
    let end = 0;
    while (chunks < maximumBatchChunks) {
      const newline = bytes.indexOf(0x0a, end);
      if (newline < 0) break;
      bytes[newline] = 0x2c; // The comma of the array: inside JSON text a newline is always escaped.
      end = newline + 1;
      chunks += 1;
    }
    if (end === 0) return undefined;
    return { json: bytes.subarray(0, end - 1), bytes: end };
  }

  /** The control plane has stored the batch. */
  acknowledge(batch: LogBatch): void {
    this.#file.release(batch.bytes);
    this.wake();
  }

  /** Lets those who wait for a change look again. */
  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  close(): void {
    this.#file.close();
  }

  async #write(lines: readonly NewLine[], signal: AbortSignal, patience: RoomPatience): Promise<void> {
    const about = {
      what: 'The log of the run could not be written',
      folder: this.#folder,
      patience,
    };
    let sequence = this.#lastSequence;
    let pending = '';
    const flush = async () => {
      const bytes = Buffer.from(pending, 'utf8');
      pending = '';
      await this.#waitForRoom(bytes.length, signal);
      await whileDiskIsFull(() => this.#file.append(bytes), about, signal);
      this.#lastSequence = sequence;
      this.wake();
    };
    for (const chunk of chunksOf(lines, sequence + 1)) {
      sequence += chunk.lineCount;
      pending += `${JSON.stringify(chunk)}\n`;
      if (pending.length >= appendCharacters) await flush();
    }
    if (pending !== '') await flush();
  }

  async #waitForRoom(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#file.freeBytes >= bytes) return signal.throwIfAborted();
    const wake = () => this.wake();
    signal.addEventListener('abort', wake, { once: true });
    try {
      while (this.#file.freeBytes < bytes) {
        signal.throwIfAborted();
        await this.changed;
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }
}
