import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists, makeOnce } from '../setup/make-once.ts';
import { convertLayout, erofsName, imageRecord, recordName } from './convert.ts';
import type { Image } from './image.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { readLocalDigest } from './local-images.ts';
import { parseReference } from './reference.ts';
import { pull, resolveDigest } from './registry.ts';

export interface ImageStore {
  /**
   * The image behind a reference, ready to be attached: `localhost/…` was built on this host, everything else comes from
   * a registry. A tag is looked up each time; what its digest stands for is fetched and converted once.
   * Throws `ImageUnavailableError`.
   */
  resolve(reference: string): Promise<Image>;
}

export function createImageStore({
  cacheDirectory,
  report = () => {},
}: {
  readonly cacheDirectory: string;
  /** Gets lines about the progress of a pull. */
  readonly report?: (line: string) => void;
}): ImageStore {
  return {
    async resolve(reference) {
      const source = parseReference(reference);
      if (source.kind === 'local') {
        return readImage(cacheDirectory, reference, await readLocalDigest(cacheDirectory, reference));
      }
      // A digest stands for the same content for ever: what is here needs no registry.
      if (source.digest && (await isConverted(cacheDirectory, source.digest))) {
        return readImage(cacheDirectory, reference, source.digest);
      }
      const digest = await resolveDigest(reference, source);
      await makeImage(cacheDirectory, { reference, digest }, (layout) =>
        pull(reference, source, digest, layout, report),
      );
      return readImage(cacheDirectory, reference, digest);
    },
  };
}

/** Converts an image unless it is there: `provide` puts it as an OCI layout, named `image`, where it is told to. */
export async function makeImage(
  cacheDirectory: string,
  image: { reference: string; digest: string },
  provide: (layout: string) => Promise<void>,
): Promise<void> {
  await makeOnce(imageFolder(cacheDirectory, image.digest), async (partialFolder) => {
    const work = join(partialFolder, 'work');
    await mkdir(work, { recursive: true });
    await provide(join(work, 'layout'));
    await convertLayout(partialFolder, image);
  });
}

function imageFolder(cacheDirectory: string, digest: string): string {
  return join(cacheDirectory, 'images', digest.replace(':', '-'));
}

async function isConverted(cacheDirectory: string, digest: string): Promise<boolean> {
  return exists(imageFolder(cacheDirectory, digest));
}

async function readImage(cacheDirectory: string, reference: string, digest: string): Promise<Image> {
  const folder = imageFolder(cacheDirectory, digest);
  const text = await readFile(join(folder, recordName), 'utf8').catch((error: unknown) => {
    throw new ImageUnavailableError(reference, `its files in ${folder} are gone; build or pull it again.`, {
      cause: error,
    });
  });
  const { config } = imageRecord.parse(JSON.parse(text));
  return { reference, digest, erofsPath: join(folder, erofsName), config };
}
