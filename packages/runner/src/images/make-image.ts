import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { flush, makeOnce } from '../setup/make-once.ts';
import type { ConversionLimits } from './convert/limits.ts';
import { convert } from './convert.ts';
import { writeRecord } from './image-record.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { environmentOf, type ImageConfiguration, readLayout } from './oci-layout.ts';
import { fullDisk } from './pull.ts';
import { deviceName, type StoreFolder } from './store-folder.ts';

const lookMilliseconds = 250;

export interface NewImage {
  /** As the user wrote it. */
  readonly reference: string;
  readonly digest: string;
  /** Where it comes from; null where it was built on this host. */
  readonly repository: string | null;
  /** Whether it was fetched without a login of a run's settings. */
  readonly isOpen: boolean;
}

/** Where an image lies that is to be converted. */
export interface LaidOut {
  /** OCI layout with one image. */
  readonly layout: string;
  /** `blobs` of that layout, wherever they are. */
  readonly blobs: string;
}

export interface MakeOptions {
  readonly limits?: ConversionLimits | undefined;
  /** Ends the conversion. */
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (unpackedBytes: number) => void;
}

/**
 * Makes an image a device of the store unless it is there. `provide` lays it out, and gets a folder to do so, which does
 * not outlive the call. Of several callers, also in several processes, one does it and the others wait. Answers whether
 * this one did.
 * Throws `ImageUnavailableError`.
 */
export async function makeImage(
  store: StoreFolder,
  image: NewImage,
  provide: (folder: string) => Promise<LaidOut>,
  { limits, signal: given, progress }: MakeOptions = {},
): Promise<boolean> {
  let hasMade = false;
  await makeOnce(store.device(image.digest, image.repository), async (partialFolder) => {
    const work = join(partialFolder, 'work');
    await mkdir(work, { recursive: true });
    const { layout, blobs } = await provide(work);
    const { manifest, configuration } = await readLayout(layout, blobs);
    checkPlatform(image.reference, configuration);
    const environment = environmentOf(configuration);
    const device = join(partialFolder, deviceName);
    const { user } = await whileThereIsRoom(image.reference, partialFolder, given, (signal) =>
      convert(
        {
          ...{ reference: image.reference, digest: image.digest },
          layers: manifest.layers.map(({ digest }) => join(blobs, ...digest.split(':'))),
          ...{ searchPath: environment.PATH, user: configuration.config?.User ?? '' },
        },
        device,
        { limits, signal, progress: ({ unpackedBytes }) => progress?.(unpackedBytes) },
      ),
    );
    await rm(work, { recursive: true });
    await chmod(device, 0o444);
    await flush(device);
    await writeRecord(partialFolder, { ...image, config: { environment, user } });
    hasMade = true;
  });
  return hasMade;
}

/** Throws for an image of another platform than the runner's. */
function checkPlatform(reference: string, { os, architecture }: ImageConfiguration): void {
  if (os === 'linux' && architecture === 'amd64') return;
  throw new ImageUnavailableError(
    reference,
    `image is ${os}/${architecture}, this runner is linux/amd64; build it for linux/amd64 too.`,
  );
}

async function whileThereIsRoom<T>(
  reference: string,
  folder: string,
  given: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stopped = new AbortController();
  const watch = setInterval(async () => {
    const full = await fullDisk(reference, folder);
    if (full) stopped.abort(full);
  }, lookMilliseconds);
  try {
    const result = await work(given ? AbortSignal.any([stopped.signal, given]) : stopped.signal);
    const full = await fullDisk(reference, folder);
    if (full) throw full;
    return result;
  } finally {
    clearInterval(watch);
  }
}
