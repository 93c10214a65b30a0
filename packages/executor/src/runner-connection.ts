import {
  encodeFrame,
  FrameDecoder,
  type FrameFromExecutor,
  type FrameToExecutor,
  frameToExecutor,
} from '@slipway/core';
import type { Channel } from './channel.ts';

/** Frames are put together to writes of about this size. */
const writeBytes = 64 * 1024;

/** The channel to the runner, in frames. */
export class RunnerConnection {
  readonly #channel: Channel;
  #saidResult = false;
  #logIsFull = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** The runner keeps no more of the log than its last lines. */
  get logIsFull(): boolean {
    return this.#logIsFull;
  }

  /**
   * Settles when the system has taken the frames. Rejects when the runner is gone. A result is the last word: what a
   * process in the background still writes after it is dropped.
   */
  async send(frames: readonly FrameFromExecutor[]): Promise<void> {
    let batch: Buffer[] = [];
    let batchBytes = 0;
    for (const [index, frame] of frames.entries()) {
      const bytes = encodeFrame(frame);
      batch.push(bytes);
      batchBytes += bytes.length;
      if (batchBytes < writeBytes && index < frames.length - 1) continue;
      if (this.#saidResult) return;
      this.#saidResult = frame.type === 'result';
      await this.#channel.write(Buffer.concat(batch));
      batch = [];
      batchBytes = 0;
    }
  }

  /**
   * Every frame from the runner, but what is said to the connection itself; ends when the runner is gone, throws
   * `ProtocolViolation` on what is no frame.
   */
  async *frames(): AsyncGenerator<Exclude<FrameToExecutor, { type: 'log-full' }>> {
    const decoder = new FrameDecoder(frameToExecutor);
    for await (const chunk of this.#channel.incoming) {
      for (const frame of decoder.push(chunk)) {
        if (frame.type === 'log-full') this.#logIsFull = true;
        else yield frame;
      }
    }
  }
}
