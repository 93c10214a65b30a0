import type { KnownSecrets } from './known-secrets.ts';

/** A run that is not heard of for so long has ended, or can be read anew. */
const idleMilliseconds = 60_000;
/** All runs together: about 120 MB. */
const maximumFormCharacters = 8 * 1024 * 1024;

interface RecentRun {
  readonly secrets: KnownSecrets;
  readonly forgetting: NodeJS.Timeout;
}

/** What is known of the runs that were heard of last. */
export class RecentRuns {
  /** The one that was heard of longest ago comes first. */
  readonly #runs = new Map<string, RecentRun>();

  find(runId: string): KnownSecrets | undefined {
    return this.#runs.get(runId)?.secrets;
  }

  remember(runId: string, secrets: KnownSecrets): void {
    this.forget(runId);
    const forgetting = setTimeout(() => this.forget(runId), idleMilliseconds).unref();
    this.#runs.set(runId, { secrets, forgetting });
    let characters = 0;
    for (const run of this.#runs.values()) characters += run.secrets.formCharacters;
    for (const [oldest, run] of this.#runs) {
      if (characters <= maximumFormCharacters || oldest === runId) break;
      characters -= run.secrets.formCharacters;
      this.forget(oldest);
    }
  }

  forget(runId: string): void {
    clearTimeout(this.#runs.get(runId)?.forgetting);
    this.#runs.delete(runId);
  }
}
