import type { Readable } from 'node:stream';
import { maskWith, type SecretPatterns, StreamMasker } from '@slipway/core';
import { LineSplitter } from './line-splitter.ts';
import type { RunnerConnection } from './runner-connection.ts';

/** The log of one step. Nothing leaves it unmasked. */
export class StepLog {
  readonly #connection: RunnerConnection;
  readonly #patterns: SecretPatterns;
  readonly #step: number;

  constructor(connection: RunnerConnection, patterns: SecretPatterns, step: number) {
    this.#connection = connection;
    this.#patterns = patterns;
    this.#step = step;
  }

  /** Writes text of the executor itself, line by line. Settles when the runner can take more. */
  async write(text: string): Promise<void> {
    const splitter = new LineSplitter();
    await this.#send([...splitter.push(maskWith(this.#patterns, text)), ...splitter.end()]);
  }

  /**
   * Writes the output of a command as it comes, until it ends. It is read no faster than the runner takes it, so a
   * command that writes too much waits. Each stream is masked on its own: a secret cannot hide in the interleaving.
   * `seen` gets every line as it was sent.
   */
  async copy(output: Readable, seen: (line: string) => void): Promise<void> {
    const masker = new StreamMasker(this.#patterns);
    const splitter = new LineSplitter();
    const send = async (lines: readonly string[]) => {
      lines.forEach(seen);
      await this.#send(lines);
    };
    output.setEncoding('utf8');
    for await (const piece of output) await send(splitter.push(masker.push(String(piece))));
    await send([...splitter.push(masker.end()), ...splitter.end()]);
  }

  async #send(lines: readonly string[]): Promise<void> {
    const timestamp = new Date().toISOString();
    await this.#connection.send(lines.map((text) => ({ type: 'log', step: this.#step, timestamp, text })));
  }
}
