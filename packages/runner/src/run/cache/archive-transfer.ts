import { type FileHandle, open, rm } from 'node:fs/promises';
import { maximumPieceBytes, ProtocolViolation } from '@slipway/core';
import type { EntryStore, KeptEntry } from '../../dependency-cache/entry-store.ts';
import type { ExecutorChannel } from '../executor-channel.ts';
import { type EntryTransfer, EntryUnavailable, type TransferFrame } from './entry-transfer.ts';

export interface ArchiveTransferOptions {
  readonly store: EntryStore;
  readonly channel: ExecutorChannel;
  /** The archive that is being read is said to be damaged. */
  readonly entryIsUnusable: () => Promise<void>;
}

interface WrittenArchive {
  readonly path: string;
  readonly file: FileHandle;
  bytes: number;
}

/**
 * Entries as archives that the executor packs and unpacks. Their bytes travel over its channel: one piece for each that
 * it asks for, and each piece that it sends is on the disk before more is read.
 */
export class ArchiveTransfer implements EntryTransfer {
  readonly kind = 'archive';
  readonly #options: ArchiveTransferOptions;
  #reading: FileHandle | undefined;
  #taking: 'nothing' | 'pieces' | 'no-more' = 'nothing';
  #writing: WrittenArchive | undefined;
  #complete: string | undefined;

  constructor(options: ArchiveTransferOptions) {
    this.#options = options;
  }

  async restore({ path }: KeptEntry): Promise<{ entry: 'archive' }> {
    this.#reading = await open(path, 'r').catch(() => {
      throw new EntryUnavailable('the entry was removed this moment', { isDamaged: false });
    });
    return { entry: 'archive' };
  }

  async prepare(): Promise<void> {
    this.#taking = 'pieces';
  }

  async hear(frame: TransferFrame): Promise<void> {
    switch (frame.type) {
      case 'cache-read':
        return this.#read();
      case 'cache-unusable':
        if (this.#reading === undefined) throw new ProtocolViolation('the executor was given no archive');
        await this.#stopReading();
        return this.#options.entryIsUnusable();
      case 'cache-write':
        return this.#write(Buffer.from(frame.bytes, 'base64'), frame.isLast);
      case 'cache-save':
        throw new ProtocolViolation('the executor has no device that could be saved');
    }
  }

  async finish(): Promise<string | undefined> {
    await this.#stopReading();
    await this.#dropWriting();
    return this.#complete;
  }

  async #read(): Promise<void> {
    if (this.#reading === undefined) throw new ProtocolViolation('the executor was given no archive');
    const { bytesRead, buffer } = await this.#reading.read(Buffer.alloc(maximumPieceBytes));
    const isLast = bytesRead < maximumPieceBytes;
    if (isLast) await this.#stopReading();
    const bytes = buffer.toString('base64', 0, bytesRead);
    await this.#options.channel.deliver({ type: 'cache-bytes', bytes, isLast });
  }

  async #write(bytes: Buffer, isLast: boolean): Promise<void> {
    if (this.#taking === 'nothing') throw new ProtocolViolation('the executor may send no archive');
    // Still on its way when it was refused.
    if (this.#taking === 'no-more') return;
    const { store } = this.#options;
    let writing: WrittenArchive;
    try {
      writing = this.#writing ??= await newArchive(store);
      writing.bytes += bytes.length;
      if (writing.bytes > store.maximumEntryBytes) {
        return this.#refuse(`it is larger than ${store.maximumEntryBytes} bytes`);
      }
      await writing.file.writeFile(bytes);
    } catch (error) {
      return this.#refuse(
        `it could not be written (${error instanceof Error ? error.message : String(error)})`,
      );
    }
    if (!isLast) return;
    this.#taking = 'nothing';
    this.#complete = writing.path;
    this.#writing = undefined;
    await writing.file.close();
    this.#options.channel.send({ type: 'cache-saved', entryBytes: writing.bytes, reason: '' });
  }

  /** Takes no more, and says why. What was on its way comes to nothing. */
  async #refuse(reason: string): Promise<void> {
    this.#taking = 'no-more';
    await this.#dropWriting();
    this.#options.channel.send({ type: 'cache-saved', entryBytes: null, reason });
  }

  async #stopReading(): Promise<void> {
    const reading = this.#reading;
    this.#reading = undefined;
    await reading?.close();
  }

  async #dropWriting(): Promise<void> {
    const writing = this.#writing;
    this.#writing = undefined;
    await writing?.file.close();
    if (writing !== undefined) await rm(writing.path, { force: true });
  }
}

async function newArchive(store: EntryStore): Promise<WrittenArchive> {
  const path = await store.newFile();
  return { path, file: await open(path, 'w'), bytes: 0 };
}
