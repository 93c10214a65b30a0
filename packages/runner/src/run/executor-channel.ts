import type { Duplex } from 'node:stream';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import {
  encodeFrame,
  FrameDecoder,
  type FrameFromExecutor,
  type FrameToExecutor,
  frameFromExecutor,
} from '@slipway/core';

/** Every driver ends the channel after all that was written to it. Should one fail to, silence for this long is the end. */
const silenceMilliseconds = 5_000;

/**
 * The channel to one executor, as frames. Nothing is read unless `next` is waiting, so that a reader that is slow, or
 * held up by a full log spool, holds up the sandbox and not the runner's memory.
 */
export class ExecutorChannel {
  readonly #channel: Duplex;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #decoder = new FrameDecoder<FrameFromExecutor>(frameFromExecutor);
  #waiting = false;
  #chunkCount = 0;

  constructor(channel: Duplex) {
    this.#channel = channel;
    // A channel that breaks is a channel that ended: the sandbox's exit tells why.
    channel.on('error', () => undefined);
    this.#chunks = channel[Symbol.asyncIterator]();
  }

  /**
   * The frames of the next chunk, at least one; undefined at the end of the channel. Rejects with `ProtocolViolation`.
   * Between two chunks everything else of the runner has its turn: a flood of frames starves no heartbeat.
   */
  async next(): Promise<FrameFromExecutor[] | undefined> {
    for (;;) {
      await nextTurn();
      const chunk = await this.#nextChunk();
      if (chunk === undefined) return undefined;
      const frames = this.#decoder.push(chunk);
      if (frames.length > 0) return frames;
    }
  }

  /** Sends a frame. A channel that is closed by now swallows it. Throws a `RangeError` when it is too long. */
  send(frame: FrameToExecutor): void {
    const bytes = encodeFrame(frame);
    if (this.#channel.writable) this.#channel.write(bytes);
  }

  /**
   * Sends a frame and answers when the sandbox has taken it, or the channel is closed. Whatever is sent as often as a
   * sandbox asks for it goes this way: one that asks and does not read must not fill the runner's memory.
   */
  deliver(frame: FrameToExecutor): Promise<void> {
    const bytes = encodeFrame(frame);
    if (!this.#channel.writable) return Promise.resolve();
    return new Promise((resolve) => this.#channel.write(bytes, () => resolve()));
  }

  /** The sandbox is gone: lets `next` come to the end of what was written, even if the driver left the channel open. */
  async drainAfterExit(): Promise<void> {
    for (;;) {
      const before = this.#chunkCount;
      await delay(silenceMilliseconds, undefined, { ref: false });
      if (this.#channel.destroyed) return;
      if (this.#waiting && this.#chunkCount === before) return this.close();
    }
  }

  /** Ends the channel: `next` answers undefined. */
  close(): void {
    this.#channel.destroy();
  }

  async #nextChunk(): Promise<Buffer | undefined> {
    this.#waiting = true;
    try {
      const { done, value } = await this.#chunks.next();
      this.#chunkCount += 1;
      return done ? undefined : value;
    } catch {
      return undefined;
    } finally {
      this.#waiting = false;
    }
  }
}
