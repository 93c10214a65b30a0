import { setTimeout as sleep } from 'node:timers/promises';
import { freeBuffer, type LeftOut, type SecretPatterns } from '@slipway/core';
import type { Line } from './line-splitter.ts';
import { NewestOutput } from './newest-output.ts';
import { OutputLines } from './output-lines.ts';

/** For how long the newest lines wait for newer ones once the log is full. */
const newestLinesMilliseconds = 100;

/** Where lines go. */
export interface LineTarget {
  /** Whether it takes no more than the newest lines. */
  isFull(): boolean;
  /** Takes lines, masked, and what was left out before them. Settles when it can take more. */
  send(lines: readonly Line[], leftOut?: LeftOut): Promise<void>;
  /** A number for a line that comes in pieces. */
  nextLongLine(): number;
}

/** Copies what a command prints. */
export class OutputCopy {
  readonly #patterns: SecretPatterns;
  readonly #target: LineTarget;
  readonly #newest = new NewestOutput();
  #newestSent: Promise<void> = Promise.resolve();
  #isTimeSet = false;

  constructor(patterns: SecretPatterns, target: LineTarget) {
    this.#patterns = patterns;
    this.#target = target;
  }

  /** Copies one of its streams. Settles at its end, when all of it was sent. */
  async read(output: AsyncIterable<Buffer>): Promise<void> {
    const stream = new OutputLines(this.#patterns, () => this.#target.nextLongLine());
    for await (const bytes of output) {
      if (this.#target.isFull()) {
        this.#newest.push(stream, bytes);
        this.#sendNewestInTime();
      } else {
        const lines = stream.push(bytes);
        freeBuffer(bytes);
        await this.#target.send(lines);
      }
    }
    await this.#sendNewest();
    const lines = stream.end();
    await this.#send(lines, stream.takeLeftOut());
  }

  #sendNewestInTime(): void {
    if (this.#isTimeSet) return;
    this.#isTimeSet = true;
    const sent = sleep(newestLinesMilliseconds).then(() => {
      this.#isTimeSet = false;
      return this.#sendNewest();
    });
    // It fails when the runner is gone, which the reader of its frames reports.
    sent.catch(() => {});
  }

  /** One at a time, so that a later one cannot overtake an earlier one; what comes meanwhile is newer still. */
  #sendNewest(): Promise<void> {
    this.#newestSent = this.#newestSent.then(() => {
      const { lines, leftOut } = this.#newest.take();
      return this.#send(lines, leftOut);
    });
    return this.#newestSent;
  }

  async #send(lines: readonly Line[], leftOut: LeftOut): Promise<void> {
    if (leftOut.lines > 0 || leftOut.bytes > 0) await this.#target.send(lines, leftOut);
    else if (lines.length > 0) await this.#target.send(lines);
  }
}
