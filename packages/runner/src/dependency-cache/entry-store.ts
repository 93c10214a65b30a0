import { existsSync } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheLimits } from '@slipway/core';
import { type EntryIdentity, entryId } from './entry-identity.ts';
import { newWorkFile, sweepWorkFiles } from './work-files.ts';

export interface EntryStoreOptions {
  readonly folder: string;
  /** Room for all entries together; the least recently read ones go first. */
  readonly maximumBytes: number;
  /** Largest entry that is kept; 5 GB when absent. */
  readonly maximumEntryBytes?: number;
  /** Hears why an entry, after all, was not kept. */
  readonly failed: (error: unknown) => void;
  /** Milliseconds since 1970; the host's own clock when absent. */
  readonly now?: () => number;
}

/** An entry that is there: the file is never written to again, and stays readable for whoever has opened it. */
export interface KeptEntry {
  readonly path: string;
  readonly entryBytes: number;
}

const millisecondsPerDay = 24 * 60 * 60 * 1000;
const contentSuffix = '.content';
const recordSuffix = '.json';

/**
 * The cache entries of this host, a file each. What is in them was made inside of sandboxes, so it is moved and counted
 * here, and never read. Entries are immutable: the first complete one of its name stays.
 *
 * An entry counts from when its file has its name. After a crash of the host only those count that were known to be on
 * the disk: those with a record beside them.
 */
export class EntryStore {
  readonly #options: EntryStoreOptions;
  /** Entries that were kept by this process and have no record yet. */
  readonly #settling = new Map<string, Promise<void>>();
  readonly #now: () => number;

  private constructor(options: EntryStoreOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Opens the store, and removes what a crash has left half-made. */
  static async open(options: EntryStoreOptions): Promise<EntryStore> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    const store = new EntryStore(options);
    await sweepWorkFiles(options.folder);
    for (const id of await store.#ids()) if (!existsSync(store.#recordPath(id))) await store.#drop(id);
    await store.makeRoom();
    return store;
  }

  get maximumEntryBytes(): number {
    return this.#options.maximumEntryBytes ?? cacheLimits.entryBytes;
  }

  /** An empty file of the store's own, which only this process and its children can reach. */
  newFile(): Promise<string> {
    return newWorkFile(this.#options.folder);
  }

  /** The entry of this name, which now counts as read. */
  async find(identity: EntryIdentity): Promise<KeptEntry | undefined> {
    const id = entryId(identity);
    const path = this.#contentPath(id);
    const found = await this.#look(id);
    if (found === undefined || found.readAt < this.#oldestRead) return undefined;
    const now = new Date(this.#now());
    await utimes(path, now, now).catch(() => undefined);
    return { path, entryBytes: found.bytes };
  }

  /**
   * Makes a complete file, one of `newFile`, the entry of this name; answers false when there is one already or the file
   * is too large. The file is gone from where it was.
   */
  async keep(file: string, identity: EntryIdentity): Promise<boolean> {
    const id = entryId(identity);
    try {
      if ((await allocatedBytes(file)) > this.maximumEntryBytes) return false;
      const now = new Date(this.#now());
      await utimes(file, now, now);
      await link(file, this.#contentPath(id));
    } catch (error) {
      if (isExisting(error)) return false;
      throw error;
    } finally {
      await rm(file, { force: true });
    }
    const settling = this.#settle(id, identity)
      .catch((error: unknown) => this.#giveUp(id, error))
      .finally(() => this.#settling.delete(id));
    this.#settling.set(id, settling);
    return true;
  }

  /** Forgets an entry. Whoever reads it now can go on. */
  async remove(identity: EntryIdentity): Promise<void> {
    await this.#drop(entryId(identity));
  }

  /** Drops what nobody has read for a month, and the least recently read entries while all are too large together. */
  async makeRoom(): Promise<void> {
    const entries: { id: string; readAt: number; bytes: number }[] = [];
    for (const id of await this.#ids()) {
      const found = await this.#look(id);
      if (found !== undefined) entries.push({ id, ...found });
    }
    entries.sort((a, b) => b.readAt - a.readAt);
    let total = 0;
    for (const { id, readAt, bytes } of entries) {
      total += bytes;
      if (total > this.#options.maximumBytes || readAt < this.#oldestRead) await this.#drop(id);
    }
  }

  /** Settles when everything that was kept is on the disk. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling.values());
  }

  get #oldestRead(): number {
    return this.#now() - cacheLimits.unreadDays * millisecondsPerDay;
  }

  async #settle(id: string, identity: EntryIdentity): Promise<void> {
    const record = this.#recordPath(id);
    await flushToDisk(this.#contentPath(id));
    await writeFile(newRecordPath(record), JSON.stringify(identity), { flush: true });
    await rename(newRecordPath(record), record);
    await this.makeRoom();
  }

  /** What made the record fail, such as a disk that became read-only, may make the tidying up fail, too. */
  async #giveUp(id: string, error: unknown): Promise<void> {
    await this.#removeUnrecorded(id).catch(this.#options.failed);
    this.#options.failed(error);
  }

  /** Without a record it would be no entry, and in the way of the next one of its name. */
  async #removeUnrecorded(id: string): Promise<void> {
    await rm(newRecordPath(this.#recordPath(id)), { force: true });
    if (!existsSync(this.#recordPath(id))) await this.#drop(id);
  }

  async #look(id: string): Promise<{ readAt: number; bytes: number } | undefined> {
    if (!this.#settling.has(id) && !existsSync(this.#recordPath(id))) return undefined;
    const found = await stat(this.#contentPath(id)).catch(() => undefined);
    return found && { readAt: found.mtimeMs, bytes: found.blocks * 512 };
  }

  async #ids(): Promise<string[]> {
    return (await readdir(this.#options.folder))
      .filter((name) => name.endsWith(contentSuffix))
      .map((name) => basename(name, contentSuffix));
  }

  async #drop(id: string): Promise<void> {
    await rm(this.#recordPath(id), { force: true });
    await rm(this.#contentPath(id), { force: true });
  }

  #contentPath(id: string): string {
    return join(this.#options.folder, `${id}${contentSuffix}`);
  }

  #recordPath(id: string): string {
    return join(this.#options.folder, `${id}${recordSuffix}`);
  }
}

/** What a file takes on the disk; its holes take nothing. */
export async function allocatedBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512;
}

function newRecordPath(record: string): string {
  return `${record}.new`;
}

async function flushToDisk(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}
