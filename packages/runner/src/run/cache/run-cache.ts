import {
  type CacheGrant,
  type CacheTransfer,
  cacheLimits,
  type Platform,
  ProtocolViolation,
} from '@slipway/core';
import type { CacheCalls } from '../../control-plane-client/cache-calls.ts';
import { type EntryIdentity, entryName } from '../../dependency-cache/entry-identity.ts';
import type { EntryStore, KeptEntry } from '../../dependency-cache/entry-store.ts';
import type { SharedEntries } from '../../dependency-cache/shared-entries.ts';
import type { RunnerLog } from '../../runner-options.ts';
import type { ExecutorChannel } from '../executor-channel.ts';
import type { Executor } from '../start-executor.ts';
import { ArchiveTransfer } from './archive-transfer.ts';
import { DeviceTransfer } from './device-transfer.ts';
import { type CacheFrame, type EntryTransfer, EntryUnavailable } from './entry-transfer.ts';

/** What is left of the ten seconds is for the way to the executor and back. */
const budgetMilliseconds = cacheLimits.restoreSeconds * 1000 - 1500;
/** For making room for a new entry, when another host's did not come in time. */
const reserveMilliseconds = 3000;

export interface RunCacheOptions {
  readonly store: EntryStore;
  readonly grant: CacheGrant;
  readonly imageDigest: string;
  readonly platform: Platform;
  readonly log: RunnerLog;
  /** What other hosts of the pool have; undefined where nothing is shared. */
  readonly shared: { readonly entries: SharedEntries; readonly calls: CacheCalls } | undefined;
}

interface Found {
  readonly identity: EntryIdentity;
  readonly entry: KeptEntry;
}

/**
 * The cache as one run may use it: one entry, that fits the key which the executor names before anything of the user's
 * was run. Nothing that goes wrong with it is a failure of the run.
 */
export class RunCache {
  readonly #options: RunCacheOptions;
  #transfer: EntryTransfer | undefined;
  #channel: ExecutorChannel | undefined;
  #name: string | undefined;

  constructor(options: RunCacheOptions) {
    this.#options = options;
  }

  /** From now on there is a sandbox to bring an entry into. Answers how that is done. */
  serve({ sandbox: { cacheDevice: device }, channel }: Executor): CacheTransfer {
    const { store } = this.#options;
    this.#channel = channel;
    this.#transfer = device
      ? new DeviceTransfer({ store, channel, device })
      : new ArchiveTransfer({ store, channel, entryIsUnusable: () => this.#forgetOwn() });
    return this.#transfer.kind;
  }

  /** Throws `ProtocolViolation` when the executor may not say this now. */
  async hear(frame: CacheFrame): Promise<void> {
    if (this.#transfer === undefined || this.#channel === undefined) {
      throw new ProtocolViolation('the executor spoke of a cache that it was not offered');
    }
    if (frame.type !== 'cache-restore') {
      if (this.#name === undefined) throw new ProtocolViolation('the executor has named no cache entry yet');
      return this.#transfer.hear(frame);
    }
    if (this.#name !== undefined) throw new ProtocolViolation('the executor named a second cache entry');
    const { platform, imageDigest } = this.#options;
    const { key, paths } = frame;
    this.#name = entryName({ transfer: this.#transfer.kind, platform, imageDigest, key, paths });
    this.#channel.send({ type: 'cache-restored', ...(await this.#restore(this.#transfer, paths)) });
  }

  /** The sandbox is gone: what it left becomes an entry. */
  async settle(): Promise<void> {
    const { store, log, shared } = this.#options;
    if (this.#transfer === undefined) return;
    const { kind } = this.#transfer;
    const file = await this.#transfer.finish();
    const identity = this.#ownIdentity;
    if (file === undefined || identity === undefined) return;
    try {
      if (await store.keep(file, identity)) shared?.entries.offer(shared.calls, identity, kind);
    } catch (error) {
      log.warn({ err: error }, 'A cache entry could not be kept');
    }
  }

  async #restore(transfer: EntryTransfer, paths: readonly string[]) {
    const deadline = performance.now() + budgetMilliseconds;
    const left = () => Math.max(0, deadline - performance.now());
    let reason = 'there is no entry for this key yet';
    try {
      const found = (await this.#find()) ?? (await this.#fetch(transfer.kind, left() - reserveMilliseconds));
      if (found !== undefined) {
        const { entry } = await transfer.restore(found.entry, paths, left());
        return { entry, reason: describe(found), mayBeSaved: false };
      }
    } catch (error) {
      reason = reasonOf(error);
      if (error instanceof EntryUnavailable && error.isDamaged) await this.#forgetOwn();
    }
    try {
      await transfer.prepare(paths, left());
      return { entry: 'none' as const, reason, mayBeSaved: true };
    } catch (error) {
      const both = `${reason}; and nothing will be saved: ${reasonOf(error)}`;
      return { entry: 'none' as const, reason: both, mayBeSaved: false };
    }
  }

  async #find(): Promise<Found | undefined> {
    for (const scope of this.#options.grant.readScopes) {
      const identity = this.#identity(scope);
      const entry = identity && (await this.#options.store.find(identity));
      if (identity && entry) return { identity, entry };
    }
    return undefined;
  }

  /** Rejects when it takes longer than `milliseconds`; the entry still comes then, for later runs. */
  async #fetch(kind: CacheTransfer, milliseconds: number): Promise<Found | undefined> {
    const { shared, grant, store } = this.#options;
    if (shared === undefined || this.#name === undefined) return undefined;
    const { namespace, readScopes } = grant;
    const fetching = shared.entries.fetch(shared.calls, { namespace, readScopes, name: this.#name }, kind);
    fetching.catch(() => undefined);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () =>
        late.reject(new EntryUnavailable('it is still on its way from another host', { isDamaged: false })),
      milliseconds,
    );
    try {
      const identity = await Promise.race([fetching, late.promise]);
      const entry = identity && (await store.find(identity));
      return identity && entry && { identity, entry };
    } catch (error) {
      if (error instanceof EntryUnavailable) throw error;
      throw new EntryUnavailable(`it could not be fetched from another host (${reasonOf(error)})`, {
        isDamaged: false,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** A run may drop only what it might have written: it must not decide about what is more trusted. */
  async #forgetOwn(): Promise<void> {
    const identity = this.#ownIdentity;
    if (identity !== undefined) await this.#options.store.remove(identity);
  }

  get #ownIdentity(): EntryIdentity | undefined {
    return this.#identity(this.#options.grant.writeScope);
  }

  #identity(scope: string): EntryIdentity | undefined {
    const { namespace } = this.#options.grant;
    return this.#name === undefined ? undefined : { namespace, scope, name: this.#name };
  }
}

function describe({ identity, entry }: Found): string {
  const megabytes = (entry.entryBytes / 1_000_000).toFixed(1);
  return `an entry of ${megabytes} MB, of the scope "${identity.scope}"`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
