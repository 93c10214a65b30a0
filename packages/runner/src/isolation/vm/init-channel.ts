import type { Duplex } from 'node:stream';
import * as z from 'zod';
import { readLines } from './lines.ts';

const count = z.number().int().nonnegative();

/** What the guest's init tells, one line of JSON each (guest/README.md). */
const guestEvent = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('boot'),
    // Both are shown to users.
    kernelRelease: z.string().regex(/^[A-Za-z0-9._+~-]{1,100}$/),
    bootId: z.string().regex(/^[0-9a-f-]{1,64}$/),
    /** How fast the kernel takes the timer of its processors to be; 0 where it has none. */
    timerHertz: count,
  }),
  z.object({ event: z.literal('started') }),
  z.object({ event: z.literal('failed'), message: z.string() }),
  z.object({ event: z.literal('clock'), stepSeconds: z.number() }),
  z.object({ event: z.literal('attached'), name: z.string(), error: z.string().nullable() }),
  z.object({
    event: z.enum(['cache-mounted', 'cache-sealed']),
    error: z.string().nullable(),
    diskIsDamaged: z.boolean(),
  }),
  z.object({
    event: z.literal('usage'),
    /** By the guest's monotonic clock. */
    uptimeMilliseconds: count,
    cpuMicroseconds: count,
    memoryBytes: count,
    volumeBytes: count,
    receivedBytes: count,
    sentBytes: count,
  }),
  z.object({
    event: z.literal('shortages'),
    /** Processes that the kernel killed for want of memory; the last one by name, empty where there is none. */
    memoryKills: count,
    killedProcess: z.string().max(64),
    killedKibibytes: count,
    outOf: z.enum(['container', 'guest']),
    memoryPeakBytes: count,
    memoryLimitBytes: count,
    processRefusals: count,
    freeBytes: count,
    freeFiles: count,
    totalFiles: count,
  }),
  z.object({
    event: z.literal('folders'),
    /** Whether all of the volume was looked at in the time for it. */
    complete: z.boolean(),
    folders: z.array(z.object({ path: z.string(), bytes: count, files: count })).max(100),
  }),
  z.object({
    event: z.literal('exit'),
    code: z.number().int(),
    signal: z.number().int(),
    output: z.string(),
  }),
]);
export type GuestEvent = z.infer<typeof guestEvent>;

const longestEventBytes = 16 * 1024;
/** The time is told so often that some of it may be late or lost before the guest counts as left alone. */
const keepAliveShare = 1 / 4;
/** Messages wait here while the guest boots. More than that means that it does not read. */
const mostWaitingBytes = 4 * 1024 * 1024;

export interface InitChannelOptions {
  /** Time without a message after which the guest powers itself off. */
  readonly silenceSeconds: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly heard: (event: GuestEvent) => void;
  /** The guest sent what no init of ours sends. The channel is closed. */
  readonly violated: (what: string) => void;
}

/**
 * The channel to the guest's init. Once that has booted, and as long as it is open, the guest is told that the runner is alive, and what time it
 * is; when that ends, for whatever reason, the guest powers itself off.
 */
export class InitChannel {
  readonly #port: Duplex;
  readonly #options: InitChannelOptions;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(port: Duplex, options: InitChannelOptions) {
    this.#port = port;
    this.#options = options;
    // The virtual machine is gone: how it ended is told by its process.
    port.on('error', () => {});
    readLines(port, {
      longestBytes: longestEventBytes,
      take: (line) => this.#hear(line),
      violated: (what) => this.#violated(what),
    });
  }

  /** From now on: the guest has booted. */
  keepTellingTime(): void {
    if (this.#keepAlive !== undefined) return;
    this.#tellTime();
    const milliseconds = this.#options.silenceSeconds * 1000 * keepAliveShare;
    this.#keepAlive = setInterval(() => this.#tellTime(), milliseconds);
    this.#keepAlive.unref();
  }

  /** Puts a file into the guest, at `etc/NAME` or `bundle/NAME`. Names: letters, digits, `.`, `-` and `_`. */
  sendFile(path: string, contents: string): void {
    const bytes = Buffer.from(contents);
    this.#send(Buffer.concat([Buffer.from(`file ${path} ${bytes.length}\n`), bytes]));
  }

  /** A message of one line (guest/README.md). */
  send(message: string): void {
    this.#send(`${message}\n`);
  }

  close(): void {
    clearInterval(this.#keepAlive);
    this.#port.destroy();
  }

  #violated(what: string): void {
    this.close();
    this.#options.violated(what);
  }

  #hear(line: string): void {
    const event = parseEvent(line);
    if (event === undefined) {
      this.#violated('a line that is no event');
      return;
    }
    // What it was told before has waited until it had booted.
    if (event.event === 'started') this.#tellTime();
    this.#options.heard(event);
  }

  #tellTime(): void {
    this.send(`time ${(this.#options.now() / 1000).toFixed(3)}`);
  }

  #send(message: string | Buffer): void {
    if (this.#port.writable && this.#port.writableLength < mostWaitingBytes) this.#port.write(message);
  }
}

function parseEvent(line: string): GuestEvent | undefined {
  try {
    return guestEvent.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
