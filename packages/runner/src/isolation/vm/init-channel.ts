import type { Duplex } from 'node:stream';
import { leaseTiming } from '@slipway/core';
import * as z from 'zod';

/** What the guest's init tells, one line of JSON each (guest/README.md). */
const guestEvent = z.discriminatedUnion('event', [
  z.object({ event: z.literal('boot'), kernelRelease: z.string().max(100), bootId: z.string().max(64) }),
  z.object({ event: z.literal('started') }),
  z.object({ event: z.literal('failed'), message: z.string() }),
  z.object({ event: z.literal('clock'), stepSeconds: z.number() }),
  z.object({ event: z.literal('attached'), name: z.string(), error: z.string().nullable() }),
  z.object({ event: z.literal('out-of-memory'), kills: z.number().int(), process: z.string() }),
  z.object({
    event: z.literal('exit'),
    code: z.number().int(),
    signal: z.number().int(),
    volumeIsFull: z.boolean(),
    output: z.string(),
  }),
]);
export type GuestEvent = z.infer<typeof guestEvent>;

const longestEventBytes = 16 * 1024;
/** Some of these may be late or lost before the guest counts as left alone. */
const pingMilliseconds = (leaseTiming.guestSilenceSeconds * 1000) / 4;
const clockMilliseconds = 60_000;
/** Messages wait here while the guest boots. More than that means that it does not read. */
const mostWaitingBytes = 4 * 1024 * 1024;

/**
 * The channel to the guest's init. As long as it is open the guest is told that the runner is alive, and what time it
 * is; when that ends, for whatever reason, the guest powers itself off.
 */
export class InitChannel {
  readonly #port: Duplex;
  readonly #timers: NodeJS.Timeout[] = [];
  #line = '';

  /** `violated` is called when the guest sends what no init of ours sends. */
  constructor(port: Duplex, heard: (event: GuestEvent) => void, violated: (what: string) => void) {
    this.#port = port;
    port.setEncoding('latin1');
    // The virtual machine is gone: how it ended is told by its process.
    port.on('error', () => {});
    port.on('data', (text: string) => {
      this.#line += text;
      for (let end = this.#line.indexOf('\n'); end >= 0; end = this.#line.indexOf('\n')) {
        const event = parseEvent(this.#line.slice(0, end));
        this.#line = this.#line.slice(end + 1);
        if (event === undefined) return this.#violate(violated, 'a line that is no event');
        if (event.event === 'boot') this.#keepAlive();
        heard(event);
      }
      if (this.#line.length > longestEventBytes) this.#violate(violated, 'a line without end');
    });
  }

  /** Puts a file into the folder that the container is made of. Names: letters, digits, `.`, `-` and `_`. */
  sendFile(name: string, contents: string): void {
    const bytes = Buffer.from(contents);
    this.#send(Buffer.concat([Buffer.from(`file ${name} ${bytes.length}\n`), bytes]));
  }

  /** `start <end mark>`, `signal <number>`, `attach <name> <SCSI target>`. */
  send(message: string): void {
    this.#send(`${message}\n`);
  }

  close(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#port.destroy();
  }

  #keepAlive(): void {
    if (this.#timers.length > 0) return;
    const tellTime = () => this.send(`time ${(Date.now() / 1000).toFixed(3)}`);
    tellTime();
    this.#timers.push(setInterval(tellTime, clockMilliseconds));
    this.#timers.push(setInterval(() => this.send('ping'), pingMilliseconds));
    for (const timer of this.#timers) timer.unref();
  }

  #send(message: string | Buffer): void {
    if (this.#port.writable && this.#port.writableLength < mostWaitingBytes) this.#port.write(message);
  }

  #violate(violated: (what: string) => void, what: string): void {
    this.close();
    violated(what);
  }
}

function parseEvent(line: string): GuestEvent | undefined {
  try {
    return guestEvent.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
