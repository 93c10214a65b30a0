import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { StoreFolder } from './store-folder.ts';

/** Which image an index means on this platform; undefined where it was never asked for. */
export async function readMeaning(store: StoreFolder, index: string): Promise<string | undefined> {
  return readFile(pathOf(store, index), 'utf8').catch(() => undefined);
}

/** What an index means on this platform never changes, since its digest is that of its contents. */
export async function keepMeaning(store: StoreFolder, index: string, digest: string): Promise<void> {
  const path = pathOf(store, index);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.partial`, digest);
  await rename(`${path}.partial`, path);
}

function pathOf({ indexes }: StoreFolder, index: string): string {
  return join(indexes, index.replace(':', '-'));
}
