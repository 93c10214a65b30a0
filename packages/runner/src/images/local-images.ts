import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ImageUnavailableError } from './image-unavailable.ts';
import type { StoreFolder } from './store-folder.ts';

/** Makes `reference` (`localhost/…`) mean the image with this digest. */
export async function nameLocalImage(store: StoreFolder, reference: string, digest: string): Promise<void> {
  const path = namePath(store, reference);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.partial`, digest);
  await rename(`${path}.partial`, path);
}

/** The digest that a `localhost/…` reference means. Throws `ImageUnavailableError` where nothing of that name was built. */
export async function readLocalDigest(store: StoreFolder, reference: string): Promise<string> {
  return readFile(namePath(store, reference), 'utf8').catch((error: unknown) => {
    throw new ImageUnavailableError(
      reference,
      'it was not built on this runner host; build it with `./slipway image build`.',
      { cause: error },
    );
  });
}

/** References of every shape, as one file name each. */
function namePath({ localNames }: StoreFolder, reference: string): string {
  return join(localNames, encodeURIComponent(reference));
}
