import { rm } from 'node:fs/promises';
import type { CacheTransfer } from '@slipway/core';
import type { CacheCalls } from '../control-plane-client/cache-calls.ts';
import type { BlobFormat } from './blob-format.ts';
import { downloadBlob } from './download.ts';
import type { EntryIdentity } from './entry-identity.ts';
import type { EntryStore } from './entry-store.ts';
import { uploadBlob } from './upload.ts';

export interface SharedEntriesOptions {
  readonly store: EntryStore;
  readonly formats: Readonly<Partial<Record<CacheTransfer, BlobFormat>>>;
  /** Hears of what went wrong with a transfer that nobody waits for any more. */
  readonly failed: (error: unknown, what: string) => void;
}

/** Neither direction may go on for longer. */
const transferMilliseconds = 30 * 60_000;

/**
 * The entries that the hosts of a pool share through the control plane. Transfers belong to the runner and not to a run:
 * one that takes longer than a run may wait goes on for the next run, and what a run has installed is sent when its stack
 * is free again.
 */
export class SharedEntries {
  readonly #options: SharedEntriesOptions;
  readonly #fetching = new Map<string, Promise<EntryIdentity | undefined>>();
  readonly #stopping = new AbortController();
  /** One after the other: what is sent is in no hurry. */
  #sending: Promise<void> = Promise.resolve();

  constructor(options: SharedEntriesOptions) {
    this.#options = options;
  }

  /**
   * Gets the entry of this name into the store, of whichever scope the run may read. Answers its identity once it is
   * there; undefined when nobody has it. Runs that want the same wait for the same transfer.
   */
  fetch(
    calls: CacheCalls,
    wanted: Pick<EntryIdentity, 'namespace' | 'name'> & { readonly readScopes: readonly string[] },
    kind: CacheTransfer,
  ): Promise<EntryIdentity | undefined> {
    const id = JSON.stringify(wanted);
    const fetching = this.#fetching.get(id) ?? this.#fetch(calls, wanted, kind);
    this.#fetching.set(id, fetching);
    const done = () => {
      if (this.#fetching.get(id) === fetching) this.#fetching.delete(id);
    };
    fetching.then(done, done);
    return fetching;
  }

  /** Sends an entry of this host to the control plane, some time after. */
  offer(calls: CacheCalls, identity: EntryIdentity, kind: CacheTransfer): void {
    this.#sending = this.#sending.then(async () => {
      try {
        if (!this.#stopping.signal.aborted) await this.#send(calls, identity, kind);
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#options.failed(error, 'A cache entry could not be shared');
      }
    });
  }

  /** Settles when everything that was offered is sent, or cannot be. */
  sent(): Promise<void> {
    return this.#sending;
  }

  /** Ends all transfers. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the runner is being stopped'));
    await Promise.allSettled([this.#sending, ...this.#fetching.values()]);
  }

  async #fetch(
    calls: CacheCalls,
    { namespace, name }: Pick<EntryIdentity, 'namespace' | 'name'>,
    kind: CacheTransfer,
  ): Promise<EntryIdentity | undefined> {
    const { store } = this.#options;
    const signal = this.#patience();
    const entry = await calls.lookUp(namespace, name, signal);
    if (entry === null) return undefined;
    const identity = { namespace, scope: entry.scope, name };
    await this.#withFiles(async (blob, file) => {
      await downloadBlob(calls, entry, blob, signal);
      await this.#format(kind).unpack(blob, file, store.maximumEntryBytes, signal);
      await store.keep(file, identity);
    });
    return identity;
  }

  async #send(calls: CacheCalls, identity: EntryIdentity, kind: CacheTransfer): Promise<void> {
    const { store } = this.#options;
    const kept = await store.find(identity);
    if (kept === undefined) return;
    const signal = this.#patience();
    await this.#withFiles(async (blob) => {
      await this.#format(kind).pack(kept.path, blob, signal);
      await uploadBlob(calls, identity, blob, signal);
    });
  }

  /** Two files that are gone at the end. */
  async #withFiles(work: (first: string, second: string) => Promise<void>): Promise<void> {
    const { store } = this.#options;
    const files = [await store.newFile(), await store.newFile()] as const;
    try {
      await work(...files);
    } finally {
      for (const file of files) await rm(file, { force: true });
    }
  }

  #format(kind: CacheTransfer): BlobFormat {
    const format = this.#options.formats[kind];
    if (format === undefined)
      throw new Error(`this host cannot share entries that are of the kind "${kind}"`);
    return format;
  }

  #patience(): AbortSignal {
    return AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(transferMilliseconds)]);
  }
}
