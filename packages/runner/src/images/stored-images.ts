import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { evict, sweep } from './eviction.ts';
import { Holders } from './holders.ts';
import type { ImageConfig } from './image.ts';
import { readRecord } from './image-record.ts';
import { type PreparationFailure, PreparationFailures } from './preparation-failures.ts';
import { deviceName, recordName, StoreFolder } from './store-folder.ts';

/** An image in the cache of this host. */
export interface StoredImage {
  readonly digest: string;
  /** What it was asked for as, and what it is called on this host. */
  readonly references: readonly string[];
  /** Size of its device on the disk. */
  readonly bytes: number;
  readonly usedAt: Date;
  /** Whether a run, or anybody else, uses it now. */
  readonly isInUse: boolean;
  readonly config: ImageConfig;
  readonly erofsPath: string;
}

/** The images of this host, the last used first. */
export async function listImages(cacheDirectory: string): Promise<readonly StoredImage[]> {
  const store = new StoreFolder(cacheDirectory);
  await new Holders(store.holders).sweep();
  const names = await localNames(store);
  const folders = (await readdir(store.devices).catch(() => [])).filter((name) =>
    /^sha256-[0-9a-f]{64}$/.test(name),
  );
  const images = await Promise.all(folders.map((name) => storedImage(join(store.devices, name), names)));
  return images.flatMap((image) => image ?? []).sort((a, b) => b.usedAt.getTime() - a.usedAt.getTime());
}

/** What could not be made ready ahead of time on this host, and was not had since; the last first. */
export function listPreparationFailures(cacheDirectory: string): Promise<readonly PreparationFailure[]> {
  return new PreparationFailures(new StoreFolder(cacheDirectory)).list();
}

/**
 * Removes images and layers that nobody uses, and what is known of failures; images that were built on this host stay,
 * unless all are meant. Answers the bytes that were freed.
 */
export async function pruneImages(
  cacheDirectory: string,
  { all }: { readonly all: boolean },
): Promise<number> {
  const store = new StoreFolder(cacheDirectory);
  await sweep(store);
  await new Holders(store.holders).sweep();
  await new PreparationFailures(store).clearAll();
  return (await evict(store, 0, { localToo: all })).freedBytes;
}

/** Undefined when it was removed meanwhile. */
async function storedImage(
  folder: string,
  names: ReadonlyMap<string, readonly string[]>,
): Promise<StoredImage | undefined> {
  const record = await readRecord(folder);
  const device = await stat(join(folder, deviceName)).catch(() => undefined);
  const recordFile = await stat(join(folder, recordName)).catch(() => undefined);
  if (!record || !device || !recordFile) return undefined;
  const { digest, reference, repository, config } = record;
  const ownNames = repository === null ? (names.get(digest) ?? []) : [];
  return {
    ...{ digest, config, bytes: device.blocks * 512, usedAt: recordFile.mtime, isInUse: device.nlink > 1 },
    references: [...new Set([reference, ...ownNames])],
    erofsPath: join(folder, deviceName),
  };
}

/** Names that were given on this host, by digest. */
async function localNames({ localNames: folder }: StoreFolder): Promise<Map<string, string[]>> {
  const names = new Map<string, string[]>();
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.endsWith('.partial')) continue;
    const digest = await readFile(join(folder, name), 'utf8');
    names.set(digest, [...(names.get(digest) ?? []), decodeURIComponent(name)]);
  }
  return names;
}
