import { setTimeout as delay } from 'node:timers/promises';
import type { RunnerLog } from '../runner-options.ts';

const destroyTimeoutMilliseconds = 10_000;
const mostBetweenTriesMilliseconds = 10_000;

interface Resource {
  readonly name: string;
  readonly destroy: () => Promise<void>;
}

/**
 * What one run, or a sandbox that waits for one, holds on the host, to be destroyed in the opposite order. Nothing is
 * dropped when destroying fails: it is tried until it succeeds, and until then the stack stays the run's. A stack must
 * rather wait for an operator than be given away while something may still work on it.
 */
export class HeldResources {
  readonly #resources: Resource[] = [];
  readonly #log: RunnerLog;

  constructor(log: RunnerLog) {
    this.#log = log;
  }

  /** Holds what is being made, also when the run ends before it is there. What could not be made leaves nothing. */
  hold<T>(name: string, making: Promise<T>, destroy: (made: T) => Promise<unknown>): Promise<T> {
    making.catch(() => undefined);
    this.#resources.push({
      name,
      destroy: async () => {
        const made = await making.then(
          (value) => ({ value }),
          () => undefined,
        );
        if (made) await destroy(made.value);
      },
    });
    return making;
  }

  /** All that is held now is somebody else's to destroy. */
  forget(): void {
    this.#resources.length = 0;
  }

  /** Answers when all is destroyed. */
  async destroyAll(): Promise<void> {
    for (const resource of this.#resources.splice(0).reverse()) await this.#destroy(resource);
  }

  async #destroy({ name, destroy }: Resource): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await inTime(destroy());
      } catch (error) {
        this.#log.error({ err: error, tries }, `The ${name} of a run could not be destroyed; trying again`);
        await delay(Math.min(tries * 500, mostBetweenTriesMilliseconds));
      }
    }
  }
}

async function inTime(work: Promise<void>): Promise<void> {
  const timer = Promise.withResolvers<never>();
  const timeout = setTimeout(
    () => timer.reject(new Error(`it took longer than ${destroyTimeoutMilliseconds} ms`)),
    destroyTimeoutMilliseconds,
  );
  try {
    await Promise.race([work, timer.promise]);
  } finally {
    clearTimeout(timeout);
  }
}
