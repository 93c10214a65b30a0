import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../setup/run-command.ts';
import { type ImageRecord, readRecord } from './image-record.ts';
import { deviceName, recordName, type StoreFolder } from './store-folder.ts';

/** Something in the store that could be removed. */
interface Kept {
  readonly path: string;
  readonly bytes: number;
  readonly usedAt: number;
  readonly mayBeRemoved: boolean;
}

export interface EvictionOptions {
  /** Whether images go, too, that were built on this host. */
  readonly localToo?: boolean;
  /** Images that stay, too. Where it is not enough without them, nothing goes. */
  readonly spares?: (image: ImageRecord) => boolean;
}

export interface Eviction {
  readonly freedBytes: number;
  /** What the store takes on the disk now. */
  readonly usedBytes: number;
}

const removedPrefix = 'removed-';

/**
 * Makes the store as small as `limitBytes`: what was not used for the longest time goes first, layers before the images
 * made of them. What a run uses stays, and so do images that were built on this host and could not be fetched again
 * (unless those are meant too).
 */
export async function evict(
  store: StoreFolder,
  limitBytes: number,
  options: EvictionOptions = {},
): Promise<Eviction> {
  const layers = await keptLayers(store);
  const devices = await keptDevices(store, options);
  let usedBytes = bytesOf([...layers, ...devices]);
  let freedBytes = 0;
  const byAge = (kept: Kept[]) => kept.sort((a, b) => a.usedAt - b.usedAt);
  const removable = [...byAge(layers), ...byAge(devices)].filter(({ mayBeRemoved }) => mayBeRemoved);
  if (options.spares && bytesOf(removable) < usedBytes - limitBytes) return { freedBytes, usedBytes };
  for (const { path, bytes } of removable) {
    if (usedBytes <= limitBytes) break;
    if (!(await removeAtOnce(store, path))) continue;
    usedBytes -= bytes;
    freedBytes += bytes;
  }
  return { freedBytes, usedBytes };
}

function bytesOf(kept: readonly Kept[]): number {
  return kept.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Removes what processes left behind that were killed: half-made images, and what they were about to remove. */
export async function sweep(store: StoreFolder): Promise<void> {
  for (const name of await readdir(store.devices).catch(() => [])) {
    const path = join(store.devices, name);
    if (name.startsWith(removedPrefix)) await rm(path, { recursive: true, force: true });
    if (!name.endsWith('.partial')) continue;
    const lock = path.replace(/\.partial$/, '.lock');
    // Somebody who is still at work holds the lock.
    await runCommand(['flock', '--nonblock', lock, 'rm', '-r', '-f', path]).catch(() => undefined);
  }
}

/** Takes the name away before the contents, so that nobody finds half of it. Whether it was still there. */
export async function removeAtOnce(store: StoreFolder, path: string): Promise<boolean> {
  const removed = join(store.devices, `${removedPrefix}${randomUUID()}`);
  const isThere = await rename(path, removed).then(
    () => true,
    () => false,
  );
  if (isThere) await rm(removed, { recursive: true, force: true });
  return isThere;
}

async function keptLayers(store: StoreFolder): Promise<Kept[]> {
  return all(await readdir(store.layers).catch(() => []), async (name) => {
    const path = join(store.layers, name);
    const { blocks, mtimeMs, nlink } = await stat(path);
    return { path, bytes: blocks * 512, usedAt: mtimeMs, mayBeRemoved: nlink === 1 };
  });
}

async function keptDevices(
  store: StoreFolder,
  { localToo = false, spares }: EvictionOptions = {},
): Promise<Kept[]> {
  const local = localToo ? new Set<string>() : await localDigests(store);
  const names = (await readdir(store.devices).catch(() => [])).filter((name) =>
    /^sha256-[0-9a-f]{64}$/.test(name),
  );
  return all(names, async (name) => {
    const path = join(store.devices, name);
    const { blocks, nlink } = await stat(join(path, deviceName));
    const { mtimeMs } = await stat(join(path, recordName));
    const record = spares && (await readRecord(path));
    const isSpared = record !== undefined && spares?.(record) === true;
    const mayBeRemoved = nlink === 1 && !local.has(name.replace('-', ':')) && !isSpared;
    return { path, bytes: blocks * 512, usedAt: mtimeMs, mayBeRemoved };
  });
}

async function localDigests(store: StoreFolder): Promise<Set<string>> {
  const names = await readdir(store.localNames).catch(() => []);
  return new Set(await all(names, (name) => readFile(join(store.localNames, name), 'utf8')));
}

/** What could be looked at; others may remove something meanwhile. */
async function all<T>(names: readonly string[], look: (name: string) => Promise<T>): Promise<T[]> {
  const found = await Promise.all(
    names.map((name) =>
      look(name).then(
        (value) => [value],
        () => [],
      ),
    ),
  );
  return found.flat();
}
