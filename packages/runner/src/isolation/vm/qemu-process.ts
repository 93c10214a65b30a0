import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Duplex, Readable } from 'node:stream';
import { ConsoleLog } from './console-log.ts';

const keptErrorCharacters = 2000;
/** Nobody else should have its output open. */
const outputDeadlineMilliseconds = 500;

export interface QemuEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running QEMU and the ends of its channels. */
export class QemuProcess {
  readonly console = new ConsoleLog();
  /** Settles once the process has ended and was waited for. */
  readonly ended: Promise<QemuEnd>;
  readonly #child: ChildProcess;
  readonly #endSignal: 'SIGTERM' | 'SIGKILL';
  #errors = '';

  /**
   * `channels` are made as connected pairs of sockets, from descriptor 3 on, and `files` follow them; the caller closes
   * its own descriptors of those once `spawned` has answered. `endSignal` is what ends it at once: SIGTERM where QEMU is
   * the child of a process that kills it then and waits for it (guest/host/confine.c).
   */
  constructor(
    argv: readonly string[],
    channels: number,
    files: readonly number[],
    endSignal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL',
  ) {
    this.#endSignal = endSignal;
    const [command = '', ...rest] = argv;
    const pipes = Array.from({ length: channels }, (): 'pipe' => 'pipe');
    this.#child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe', ...pipes, ...files],
      // Neither the runner's environment nor its working directory is any business of a machine.
      env: { PATH: process.env.PATH },
      cwd: '/',
      // Out of reach of a terminal's Ctrl-C: the runner ends it, when the run has had its time.
      detached: true,
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.console.append(chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-keptErrorCharacters);
    });
    this.ended = new Promise((resolve) => {
      // Not `close`: a channel that nobody reads stays open.
      this.#child.once('exit', async (code, signal) => {
        await this.#outputRead();
        resolve({ code, signal });
      });
      this.#child.once('error', (error) => {
        this.#errors = error.message;
        if (this.#child.pid === undefined) resolve({ code: null, signal: null });
      });
    });
  }

  /** What it wrote last says why it ended, and may be there only after the end was told. */
  async #outputRead(): Promise<void> {
    const signal = AbortSignal.timeout(outputDeadlineMilliseconds);
    const outputs = [this.#child.stdout, this.#child.stderr].filter((stream) => stream !== null);
    const open = outputs.filter((stream) => !stream.closed);
    await Promise.allSettled(open.map((stream) => once(stream, 'close', { signal })));
  }

  /** Settles once the process was started; rejects when its program cannot be. */
  async spawned(): Promise<void> {
    if (this.#child.pid === undefined) {
      await this.ended;
      throw new Error(this.#errors);
    }
  }

  /** The process that was started: QEMU's keeper, where it has one. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Those that it has started: QEMU, where it has a keeper, as soon as that has come to it. */
  get children(): readonly number[] {
    if (this.pid === undefined) return [];
    try {
      const ids = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim();
      return ids === '' ? [] : ids.split(' ').map(Number);
    } catch {
      return []; // It has ended.
    }
  }

  /** What the process itself complained about. */
  get errors(): string {
    return this.#errors.trim();
  }

  /** The runner's end of a channel, by the descriptor in the process. */
  channel(descriptor: number): Duplex {
    const stream = this.#child.stdio[descriptor];
    if (stream instanceof Duplex) return stream;
    throw new Error(`descriptor ${descriptor} of QEMU is no channel`);
  }

  /** Ends it at once. Answers when it was waited for. */
  async kill(): Promise<void> {
    this.#child.kill(this.#endSignal);
    await this.ended;
    for (const stream of this.#child.stdio) if (stream instanceof Readable) stream.destroy();
  }
}
