import type { CacheTransfer, FrameFromExecutor } from '@slipway/core';
import type { KeptEntry } from '../../dependency-cache/entry-store.ts';

/** What an executor says about the cache. */
export type CacheFrame = Extract<FrameFromExecutor, { type: `cache-${string}` }>;
export type TransferFrame = Exclude<CacheFrame, { type: 'cache-restore' }>;

/** How one run's entry gets into its sandbox, and what it installs out of it. */
export interface EntryTransfer {
  readonly kind: CacheTransfer;
  /** Makes an entry available. Rejects with what is wrong with it, and when it takes longer than `milliseconds`. */
  restore(
    entry: KeptEntry,
    paths: readonly string[],
    milliseconds: number,
  ): Promise<{ readonly entry: 'mounted' | 'archive' }>;
  /** Makes room for a new entry. Rejects when it cannot. */
  prepare(paths: readonly string[], milliseconds: number): Promise<void>;
  /** Throws `ProtocolViolation` when the executor may not say this now. */
  hear(frame: TransferFrame): Promise<void>;
  /** The sandbox is gone: the file with the complete new entry, if there is one. */
  finish(): Promise<string | undefined>;
}

/** Something about one entry failed, and nothing else: the message is the end of a sentence for the log. */
export class EntryUnavailable extends Error {
  override readonly name = 'EntryUnavailable';
  /** Whether the entry itself is to blame. */
  readonly isDamaged: boolean;

  constructor(message: string, { isDamaged }: { readonly isDamaged: boolean }) {
    super(message);
    this.isDamaged = isDamaged;
  }
}
