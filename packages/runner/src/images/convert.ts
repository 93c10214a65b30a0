import { chmod, chown, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { flush } from '../setup/make-once.ts';
import { makeErofsCommand } from './erofs.ts';
import { hasProgram } from './find-program.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import { environmentOf, type ImageManifest, readLayout } from './oci-layout.ts';
import { handOver, runUnprivileged } from './unprivileged.ts';

/** Sum of the packed layers of an image, at most. */
const maximumPackedBytes = 20 * 1024 ** 3;
/** Layers unpack to about three times their size, and the EROFS file of them stands beside them for a moment. */
const neededSpaceFactor = 6;

export const erofsName = 'root.erofs';
export const recordName = 'image.json';

/** What is written beside the EROFS file. */
export const imageRecord = z.object({
  digest: z.string(),
  config: z.object({ environment: z.record(z.string(), z.string()) }),
});
export type ImageRecord = z.infer<typeof imageRecord>;

/**
 * Turns the OCI layout `<folder>/work/layout` into `<folder>/root.erofs` and `<folder>/image.json`, and removes
 * `<folder>/work`. Throws `ImageUnavailableError` for an image that no run could use.
 */
export async function convertLayout(
  folder: string,
  { reference, digest }: { reference: string; digest: string },
): Promise<void> {
  const work = join(folder, 'work');
  const { manifest, configuration } = await readLayout(join(work, 'layout'));
  checkPlatform(reference, configuration);
  await checkSize(reference, manifest, folder);
  const config = { environment: environmentOf(configuration) };
  try {
    await handOver(work);
    await runUnprivileged(work, ['umoci', 'unpack', '--rootless', '--image', 'layout:image', 'bundle']);
    if (!(await hasProgram(join(work, 'bundle/rootfs'), 'pulumi', config.environment.PATH))) {
      throw new ImageUnavailableError(
        reference,
        'there is no `pulumi` on its PATH; install the Pulumi CLI in the image, or start from pulumi/pulumi.',
      );
    }
    await runUnprivileged(
      work,
      makeErofsCommand({ target: erofsName, folder: 'bundle/rootfs', identity: digest }),
    );
    await takeOver(join(work, erofsName), join(folder, erofsName));
  } finally {
    // Images hold folders that not even their owner may enter; opened first, they can be removed.
    await runUnprivileged(work, ['sh', '-c', 'chmod -R u+rwX bundle 2>/dev/null || true']);
    await rm(work, { recursive: true });
  }
  await writeFile(join(folder, recordName), JSON.stringify({ digest, config } satisfies ImageRecord));
}

/** What the unprivileged user made becomes this process's own, and nobody's to change. */
async function takeOver(madePath: string, path: string): Promise<void> {
  await rename(madePath, path);
  if (process.getuid && process.getgid) await chown(path, process.getuid(), process.getgid());
  await chmod(path, 0o444);
  await flush(path);
}

/** Throws for an image of another platform than the runner's. */
export function checkPlatform(
  reference: string,
  { os, architecture }: { os: string; architecture: string },
): void {
  if (os === 'linux' && architecture === 'amd64') return;
  throw new ImageUnavailableError(
    reference,
    `image is ${os}/${architecture}, this runner is linux/amd64; build it for linux/amd64 too.`,
  );
}

async function checkSize(reference: string, manifest: ImageManifest, folder: string): Promise<void> {
  const packedBytes = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  const { bavail, bsize } = await statfs(folder);
  const inGiB = (bytes: number) => (bytes / 1024 ** 3).toFixed(1);
  if (packedBytes > maximumPackedBytes) {
    throw new ImageUnavailableError(
      reference,
      `its layers have ${inGiB(packedBytes)} GiB, more than the ${inGiB(maximumPackedBytes)} GiB allowed; make it smaller.`,
    );
  }
  if (packedBytes * neededSpaceFactor > bavail * bsize) {
    throw new ImageUnavailableError(
      reference,
      `unpacking it needs up to ${inGiB(packedBytes * neededSpaceFactor)} GiB and the runner's cache has ` +
        `${inGiB(bavail * bsize)} GiB left; free some space there (${folder}).`,
    );
  }
}
