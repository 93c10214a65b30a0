import { rm } from 'node:fs/promises';
import { cacheLimits, ProtocolViolation } from '@slipway/core';
import { allocatedBytes, type EntryStore, type KeptEntry } from '../../dependency-cache/entry-store.ts';
import { type CacheDevice, DamagedDevice } from '../../isolation/isolation.ts';
import type { ExecutorChannel } from '../executor-channel.ts';
import { type EntryTransfer, EntryUnavailable, type TransferFrame } from './entry-transfer.ts';

export interface DeviceTransferOptions {
  readonly store: EntryStore;
  readonly channel: ExecutorChannel;
  readonly device: CacheDevice;
}

/**
 * Entries as block devices: what the run installs is written to a file of this host by the sandbox itself, so that
 * keeping it means to keep the file. A file becomes an entry once nobody can write to it any more.
 */
export class DeviceTransfer implements EntryTransfer {
  readonly kind = 'device';
  readonly #options: DeviceTransferOptions;
  /** What the sandbox writes to. */
  #file: string | undefined;
  #isSealed = false;

  constructor(options: DeviceTransferOptions) {
    this.#options = options;
  }

  async restore({ path }: KeptEntry, paths: readonly string[], milliseconds: number) {
    try {
      await this.#options.device.mountKept(path, paths, milliseconds);
    } catch (error) {
      const isDamaged = error instanceof DamagedDevice;
      const reason = error instanceof Error ? error.message : String(error);
      throw new EntryUnavailable(isDamaged ? `the entry is damaged (${reason})` : reason, { isDamaged });
    }
    return { entry: 'mounted' as const };
  }

  async prepare(paths: readonly string[], milliseconds: number): Promise<void> {
    const { store, device } = this.#options;
    const file = await store.newFile();
    try {
      await device.mountNew(file, paths, milliseconds);
      this.#file = file;
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
  }

  async hear(frame: TransferFrame): Promise<void> {
    if (frame.type !== 'cache-save' || this.#file === undefined || this.#isSealed) {
      throw new ProtocolViolation('the executor spoke of the cache as it may not');
    }
    const { channel } = this.#options;
    try {
      const entryBytes = await this.#seal(this.#file);
      channel.send({ type: 'cache-saved', entryBytes, reason: '' });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      channel.send({ type: 'cache-saved', entryBytes: null, reason });
    }
  }

  async finish(): Promise<string | undefined> {
    if (this.#isSealed) return this.#file;
    if (this.#file !== undefined) await rm(this.#file, { force: true });
    return undefined;
  }

  async #seal(file: string): Promise<number> {
    const { device, store } = this.#options;
    await device.seal(cacheLimits.saveSeconds * 1000);
    const bytes = await allocatedBytes(file);
    if (bytes > store.maximumEntryBytes)
      throw new Error(`it is larger than ${store.maximumEntryBytes} bytes`);
    this.#isSealed = true;
    return bytes;
  }
}
