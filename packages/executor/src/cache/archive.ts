import { lstat, mkdir, readdir, realpath, rename, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { maximumPieceBytes } from '@slipway/core';
import { archiveGuard } from './archive-guard.ts';

/** The fastest level, and a checksum: without one, changed bytes would be taken for what was packed. */
const compression = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
};

/**
 * Packs folders into one compressed archive (tar, zstd) under their own paths, in pieces of at most
 * `maximumPieceBytes`.
 */
export async function* packFolders(paths: readonly string[], signal: AbortSignal): AsyncGenerator<Buffer> {
  const { create } = await import('tar');
  // One file at a time: with more, tar 7.5 may write after its end.
  const packed = Readable.from(
    create(
      { cwd: '/', jobs: 1 },
      paths.map((path) => path.slice(1)),
    ),
    {
      objectMode: false,
    },
  );
  const compressed = createZstdCompress(compression);
  const packing = pipeline(packed, compressed, { signal });
  // Told by the loop, which ends with the stream.
  packing.catch(() => {});
  for await (const chunk of compressed) {
    const bytes = Buffer.from(chunk);
    for (let start = 0; start < bytes.length; start += maximumPieceBytes) {
      yield bytes.subarray(start, start + maximumPieceBytes);
    }
  }
  await packing;
}

/**
 * Unpacks an archive of folders below the empty folder `staging`, where nobody looks at it. Rejects when it is damaged,
 * or holds what `packFolders` never packs.
 */
export async function unpackArchive(
  pieces: AsyncIterable<Buffer>,
  paths: readonly string[],
  staging: string,
  signal: AbortSignal,
): Promise<void> {
  const { extract } = await import('tar');
  await mkdir(staging, { recursive: true });
  const guard = archiveGuard(paths.map((path) => path.slice(1)));
  await pipeline(
    Readable.from(pieces, { objectMode: false }),
    createZstdDecompress(),
    // Links may lead anywhere, as those in Python's virtual environments do; the guard sees that nothing goes through them.
    extract({ cwd: staging, strict: true, preservePaths: true, filter: guard.mayUnpack }),
    { signal },
  );
  guard.check();
}

/** Moves what was unpacked below `staging` to its paths. What is there already stays. */
export async function moveIntoPlace(paths: readonly string[], staging: string): Promise<void> {
  for (const path of paths) {
    const unpacked = join(staging, path);
    // What the run that packed did not have, this one may not be able to make a place for either.
    if (!(await isFolder(unpacked))) continue;
    await mkdir(dirname(path), { recursive: true });
    await merge(unpacked, path);
  }
}

async function merge(from: string, to: string): Promise<void> {
  if (!(await isFolder(from))) return;
  const place = await realpath(to).catch(() => undefined);
  if (place === undefined) return rename(from, to);
  const present = new Set(await readdir(place));
  if (present.size === 0) {
    await rmdir(place);
    return rename(from, place);
  }
  for (const name of await readdir(from)) {
    if (!present.has(name)) await rename(join(from, name), join(place, name));
    else if (await isFolder(join(place, name))) await merge(join(from, name), join(place, name));
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isDirectory() ?? false;
}
