import { link, mkdir, readdir, stat, statfs, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HostDiskFull } from '../host-disk.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import type { ImageManifest } from './oci-layout.ts';
import type { RegistrySource } from './reference.ts';
import type { Registry, Request } from './registry.ts';
import type { StoreFolder } from './store-folder.ts';

const lookMilliseconds = 250;
/** Configurations and manifests of images are smaller. */
const otherFileBytes = 8 * 1024 ** 2;
/** Free space that no pull and no conversion takes from the host. */
export const reservedBytes = 1024 ** 3;

export interface PullOptions {
  /** A registry that sends nothing for so long has stopped. */
  readonly stallMilliseconds: number;
  /** Ends the pull. */
  readonly signal?: AbortSignal | undefined;
  readonly progress: (fetchedBytes: number, totalBytes: number) => void;
}

/**
 * Fetches an image into `folder`: an OCI layout in `layout`, its blobs in `blobs/sha256`. Layers that an earlier pull
 * fetched from the same repository are taken from the store, and the others kept there. Throws `ImageUnavailableError`.
 */
export async function pull(
  registry: Registry,
  store: StoreFolder,
  { request, digest, manifest }: { request: Request; digest: string; manifest: ImageManifest },
  folder: string,
  { stallMilliseconds, signal: given, progress }: PullOptions,
): Promise<void> {
  const layout = join(folder, 'layout');
  const blobs = join(folder, 'blobs');
  await mkdir(layout, { recursive: true });
  await mkdir(join(blobs, 'sha256'), { recursive: true });
  await useKnownLayers(store, request.source, manifest, join(blobs, 'sha256'));

  const totalBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
  const largest = Math.max(otherFileBytes, ...manifest.layers.map(({ size }) => size + otherFileBytes));
  const stopped = new AbortController();
  let fetchedBytes = -1;
  let movedAt = performance.now();
  const watch = setInterval(async () => {
    const bytes = await bytesIn([layout, join(blobs, 'sha256')]);
    if (bytes !== fetchedBytes) movedAt = performance.now();
    fetchedBytes = bytes;
    progress(Math.min(bytes, totalBytes), totalBytes);
    if (performance.now() - movedAt > stallMilliseconds) {
      stopped.abort(
        new ImageUnavailableError(
          request.reference,
          `the registry has sent nothing for ${stallMilliseconds / 1000} s. Check it, and the network of the runner host.`,
        ),
      );
    }
    if (bytes > totalBytes + manifest.layers.length * otherFileBytes + largest) {
      const problem =
        'the registry sends more than the manifest says. Something on the way, or the registry, damages it.';
      stopped.abort(new ImageUnavailableError(request.reference, problem));
    }
    const full = await fullDisk(request.reference, folder);
    if (full) stopped.abort(full);
  }, lookMilliseconds);
  try {
    const signal = given ? AbortSignal.any([stopped.signal, given]) : stopped.signal;
    await registry.copy(request, digest, { layout, blobs, maximumFileBytes: largest }, signal);
  } finally {
    clearInterval(watch);
  }
  progress(totalBytes, totalBytes);
}

/** Keeps layers for images of the same repository that share them. */
export async function keepLayers(
  store: StoreFolder,
  { repository }: RegistrySource,
  paths: readonly string[],
): Promise<void> {
  await mkdir(store.layers, { recursive: true });
  for (const path of paths) {
    // Another pull may have kept it already.
    await link(path, store.layer(`sha256:${basename(path)}`, repository)).catch(() => undefined);
  }
}

/** What says that the disk of a folder is all but full; undefined while there is room. */
export async function fullDisk(reference: string, folder: string): Promise<HostDiskFull | undefined> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize > reservedBytes) return undefined;
  const what = `Executor image "${reference}" does not fit, as the runner's cache keeps 1 GiB of its disk free`;
  return new HostDiskFull(what, folder);
}

async function useKnownLayers(
  store: StoreFolder,
  { repository }: RegistrySource,
  manifest: ImageManifest,
  blobs: string,
): Promise<void> {
  const now = new Date();
  for (const { digest, size } of manifest.layers) {
    const kept = store.layer(digest, repository);
    const known = await stat(kept).catch(() => undefined);
    if (known?.size !== size) continue;
    await link(kept, join(blobs, digest.replace('sha256:', ''))).catch(() => undefined);
    await utimes(kept, now, now).catch(() => undefined);
  }
}

async function bytesIn(folders: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0;
    }
  }
  return bytes;
}
