import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import * as z from 'zod';
import { readLines } from './lines.ts';

const eventData = z.looseObject({
  reason: z.string().optional(),
  action: z.string().optional(),
  nospace: z.boolean().optional(),
});
const qmpMessage = z.union([
  z.object({ event: z.string(), data: eventData.optional() }),
  z.object({ return: z.unknown(), id: z.number() }),
  z.object({ error: z.object({ desc: z.string() }), id: z.number().optional() }),
  z.object({ QMP: z.unknown() }),
]);

const longestMessageBytes = 64 * 1024;

export interface QmpOptions {
  /** Why QEMU says that the guest stopped: `guest-shutdown` (it powered off), `guest-reset` (a panic, with `panic=-1`). */
  readonly stopped: (reason: string) => void;
  /** The machine was reset, and begins to boot again. */
  readonly reset?: () => void;
  /** The machine is stopped, as it wrote to a disk of the host that is full. */
  readonly stoppedByFullDisk?: () => void;
  /** It sent what no QEMU sends: a guest may have taken it over. The connection is closed. */
  readonly violated: (what: string) => void;
}

/** A client of the QEMU Machine Protocol (https://www.qemu.org/docs/master/interop/qmp-spec.html). */
export class Qmp {
  readonly #socket: Duplex;
  readonly #options: QmpOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #greeted = Promise.withResolvers<void>();
  #lastId = 0;

  constructor(socket: Duplex, options: QmpOptions) {
    this.#socket = socket;
    this.#options = options;
    readLines(socket, {
      longestBytes: longestMessageBytes,
      take: (line) => this.#hear(line),
      violated: (what) => this.#violated(what),
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      const ended = new Error('QEMU has ended');
      this.#greeted.reject(ended);
      for (const { reject } of this.#waiting.values()) reject(ended);
      this.#waiting.clear();
    });
    this.greeted.catch(() => {});
    this.execute('qmp_capabilities').catch(() => {});
  }

  /** Settles once QEMU runs; rejects when it never will. */
  get greeted(): Promise<void> {
    return this.#greeted.promise;
  }

  /** Rejects with QEMU's own words. */
  execute(command: string, parameters: object = {}): Promise<unknown> {
    const { message, answer } = this.#prepare(command, parameters);
    if (this.#socket.writable) this.#socket.write(message);
    return answer;
  }

  /**
   * Executes a command that takes an open file. Node.js cannot send one, so a program does (guest/host). All earlier
   * commands must have been answered: it writes to the same socket.
   */
  async executeWithDescriptor(
    sendDescriptorPath: string,
    descriptor: number,
    command: string,
    parameters: object,
  ): Promise<unknown> {
    const { id, message, answer } = this.#prepare(command, parameters);
    const sender = spawn(sendDescriptorPath, [message], {
      stdio: ['ignore', 'ignore', 'ignore', this.#socket, descriptor],
    });
    const [code] = await once(sender, 'close');
    // Node.js stops reading a stream that it gives to a child process, which usually takes it over.
    this.#socket.resume();
    if (code !== 0) this.#waiting.get(id)?.reject(new Error('a file could not be handed to QEMU'));
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  #prepare(execute: string, parameters: object): { id: number; message: string; answer: Promise<unknown> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    answer.promise.catch(() => {}); // Heard by the caller, who may only come to it later.
    if (this.#socket.destroyed) answer.reject(new Error('QEMU has ended'));
    else this.#waiting.set(id, answer);
    return { id, message: JSON.stringify({ execute, arguments: parameters, id }), answer: answer.promise };
  }

  #violated(what: string): void {
    this.close();
    this.#options.violated(what);
  }

  #hear(line: string): void {
    const message = parseMessage(line);
    if (message === undefined) {
      this.#violated('a message that is none');
      return;
    }
    if ('event' in message) {
      const { event, data } = message;
      if (event === 'RESET') this.#options.reset?.();
      if (event === 'SHUTDOWN') this.#options.stopped(data?.reason ?? '');
      const isStopped = event === 'BLOCK_IO_ERROR' && data?.action === 'stop';
      if (isStopped && data.nospace) this.#options.stoppedByFullDisk?.();
      return;
    }
    if ('QMP' in message) this.#greeted.resolve();
    if ('QMP' in message || message.id === undefined) return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ('error' in message) waiting?.reject(new Error(message.error.desc));
    else waiting?.resolve(message.return);
  }
}

function parseMessage(line: string): z.infer<typeof qmpMessage> | undefined {
  try {
    return qmpMessage.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
