import { setTimeout as delay } from 'node:timers/promises';
import { holdsNoMoreFiles, isFull, type MemoryShortage, type Shortages } from '../shortages.ts';
import type { GuestEvent } from './init-channel.ts';

type Report<Name extends GuestEvent['event']> = Extract<GuestEvent, { event: Name }>;

export type GuestUsage = Report<'usage'>;

/** Init answers at once; a guest that is emulated on a busy host takes a moment. */
const answerDeadlineMilliseconds = 3_000;
/** What it uses is asked each second, and when a run ends, which must not wait for it. */
const usageDeadlineMilliseconds = 200;
/** It looks for folders for three seconds. */
const foldersDeadlineMilliseconds = 5_000;

const mebibyte = 1024 ** 2;

/** What the guest's init has told about how things are going, as far as it says why something ended. */
export class GuestReports {
  /** Why it could not go on. */
  failure: string | undefined;
  /** What it has told last. */
  usage: GuestUsage | undefined;
  #shortages: Report<'shortages'> | undefined;
  #folders: Report<'folders'> | undefined;
  #heard = new EventTarget();

  hear(event: Report<'usage' | 'shortages' | 'folders' | 'failed'>): void {
    switch (event.event) {
      case 'usage':
        this.usage = event;
        break;
      case 'shortages':
        this.#shortages = event;
        break;
      case 'folders':
        // A program may remove what it could not write to the end: the fullest moment tells most.
        if (sizeOf(event) >= sizeOf(this.#folders)) this.#folders = event;
        break;
      case 'failed':
        this.failure = event.message;
        break;
    }
    this.#heard.dispatchEvent(new Event(event.event));
  }

  /** As far as it was told. */
  get shortages(): Shortages {
    const told = this.#shortages;
    if (!told) return { memory: null, processRefusals: 0, volume: null };
    const { freeBytes, freeFiles, totalFiles } = told;
    return {
      memory: memoryOf(told),
      processRefusals: told.processRefusals,
      volume: { freeBytes, freeFiles, totalFiles, folders: this.#folders?.folders ?? [] },
    };
  }

  /** Asks the guest; answers with what is known when that takes too long. */
  async askShortages(send: (message: string) => void): Promise<Shortages> {
    await this.#answer('shortages', answerDeadlineMilliseconds, () => send('shortages'));
    const { volume } = this.shortages;
    if (volume && (isFull(volume) || holdsNoMoreFiles(volume))) {
      const by = holdsNoMoreFiles(volume) ? 'files' : 'bytes';
      await this.#answer('folders', foldersDeadlineMilliseconds, () => send(`folders ${by}`));
    }
    return this.shortages;
  }

  /** Settles when the guest has told what it uses, or does not do so in time. */
  askUsage(send: (message: string) => void): Promise<void> {
    return this.#answer('usage', usageDeadlineMilliseconds, () => send('usage'));
  }

  async #answer(name: GuestEvent['event'], deadlineMilliseconds: number, ask: () => void): Promise<void> {
    const over = new AbortController();
    const answered = new Promise<void>((resolve) => {
      this.#heard.addEventListener(name, () => resolve(), { once: true, signal: over.signal });
    });
    ask();
    const late = delay(deadlineMilliseconds, undefined, { ref: false, signal: over.signal });
    await Promise.race([answered, late]).finally(() => over.abort());
    late.catch(() => undefined);
  }
}

function memoryOf(told: Report<'shortages'>): MemoryShortage | null {
  if (told.memoryKills === 0) return null;
  const name = told.killedProcess;
  return {
    kills: told.memoryKills,
    process: name === '' ? null : { name, memoryMiB: told.killedKibibytes / 1024 },
    outOf: told.outOf,
    peakMiB: told.memoryPeakBytes / mebibyte,
    limitMiB: told.memoryLimitBytes / mebibyte,
  };
}

function sizeOf(report: Report<'folders'> | undefined): number {
  return Math.max(0, ...(report?.folders ?? []).map(({ bytes, files }) => bytes + files));
}
