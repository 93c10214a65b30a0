import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** Manifests and configurations are small; what is larger is not one (the distribution specification's own limit). */
const maximumDocumentBytes = 4 * 1024 * 1024;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'only sha256 digests are supported');
const descriptor = z.object({ digest, size: z.number().int().nonnegative() });

export const imageManifest = z.object({ config: descriptor, layers: z.array(descriptor).max(1000) });
export type ImageManifest = z.infer<typeof imageManifest>;

/** An index names one manifest per platform. */
export const imageIndex = z.object({
  manifests: z
    .array(
      descriptor.extend({
        platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
      }),
    )
    .max(1000),
});

/** The image's own configuration; registries hold images without any. */
export const imageConfiguration = z.object({
  os: z.string().default('linux'),
  architecture: z.string().default('amd64'),
  config: z
    .object({
      Env: z
        .array(z.string().max(128 * 1024))
        .max(10_000)
        .nullish(),
      User: z.string().max(1000).nullish(),
    })
    .nullish(),
});
export type ImageConfiguration = z.infer<typeof imageConfiguration>;

/** The one image of an OCI layout, whose blobs may lie elsewhere. */
export async function readLayout(
  layout: string,
  blobs = join(layout, 'blobs'),
): Promise<{ digest: string; manifest: ImageManifest; configuration: ImageConfiguration }> {
  const index = imageIndex.parse(await readDocument(join(layout, 'index.json')));
  const [entry] = index.manifests;
  if (entry === undefined) throw new Error(`There is no image in the OCI layout ${layout}.`);
  const manifest = imageManifest.parse(await readDocument(blobPath(blobs, entry.digest)));
  const configuration = imageConfiguration.parse(await readDocument(blobPath(blobs, manifest.config.digest)));
  return { digest: entry.digest, manifest, configuration };
}

async function readDocument(path: string): Promise<unknown> {
  const { size } = await stat(path);
  if (size > maximumDocumentBytes) throw new Error(`${path} is too large: ${size} bytes`);
  return JSON.parse(await readFile(path, 'utf8'));
}

function blobPath(blobs: string, blobDigest: string): string {
  return join(blobs, ...blobDigest.split(':'));
}

/** `NAME=value` pairs as a record. */
export function environmentOf(configuration: ImageConfiguration): Record<string, string> {
  const pairs = (configuration.config?.Env ?? []).filter((pair) => pair.indexOf('=') > 0);
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}
