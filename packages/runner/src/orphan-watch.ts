import type { RunnerLog, RunnerParts } from './runner-options.ts';

const usualSweepMilliseconds = 60_000;

/** Removes from the host what runs have left there that nobody ends any more: now, and each minute, by default. */
export class OrphanWatch {
  readonly #parts: Pick<RunnerParts, 'removeOrphans'>;
  readonly #log: RunnerLog;
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void>;

  constructor(
    parts: Pick<RunnerParts, 'removeOrphans'>,
    log: RunnerLog,
    sweepMilliseconds = usualSweepMilliseconds,
  ) {
    this.#parts = parts;
    this.#log = log;
    this.#sweeping = this.#sweep();
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.#sweep());
    }, sweepMilliseconds);
    this.#timer.unref();
  }

  /** Settles when nothing is at work any more. */
  close(): Promise<void> {
    clearInterval(this.#timer);
    return this.#sweeping;
  }

  async #sweep(): Promise<void> {
    try {
      const removed = (await this.#parts.removeOrphans?.()) ?? [];
      if (removed.length > 0) this.#log.warn({ removed }, 'Removed what was left of runs on this host');
    } catch (error) {
      this.#log.error(
        { err: error },
        'What was left of runs could not be removed; trying again at the next sweep',
      );
    }
  }
}
