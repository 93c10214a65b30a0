import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

export interface OciImage {
  /** Blobs of the layers, packed in whatever way. */
  readonly layers: readonly Buffer[];
  readonly architecture?: string;
  readonly os?: string;
  /** `config` of the image configuration: `Env`, `User`, `WorkingDir`, `Entrypoint`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface WrittenImage {
  readonly digest: string;
  readonly manifestBytes: number;
  /** Paths of the layers' blobs. */
  readonly layers: readonly string[];
}

/** Writes an image, under the name `image`, as the OCI layout `folder`. */
export async function writeOciImage(folder: string, image: OciImage): Promise<WrittenImage> {
  const blobs = join(folder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const write = async (mediaType: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(blobs, hex), bytes);
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hex}`,
      size: bytes.length,
    };
  };
  const layers = await Promise.all(
    image.layers.map((layer) => write(`layer.v1.tar${packingSuffix(layer)}`, layer)),
  );
  const config = await write(
    'config.v1+json',
    json({
      architecture: image.architecture ?? 'amd64',
      os: image.os ?? 'linux',
      config: image.config ?? {},
      rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => `sha256:${sha256(unpacked(layer))}`) },
      history: image.layers.map(() => ({ created_by: 'a test' })),
    }),
  );
  const mediaType = 'manifest.v1+json';
  const manifest = await write(
    mediaType,
    json({ schemaVersion: 2, mediaType: `application/vnd.oci.image.${mediaType}`, config, layers }),
  );
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations = { 'org.opencontainers.image.ref.name': 'image' };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  await writeFile(join(folder, 'index.json'), JSON.stringify(index));
  return {
    digest: manifest.digest,
    manifestBytes: manifest.size,
    layers: layers.map(({ digest }) => join(blobs, digest.replace('sha256:', ''))),
  };
}

function packingSuffix(layer: Buffer): string {
  const magic = layer.toString('hex', 0, 4);
  if (magic.startsWith('1f8b')) return '+gzip';
  return magic === '28b52ffd' ? '+zstd' : '';
}

/** What a damaged layer would unpack to is nobody's concern. */
function unpacked(layer: Buffer): Buffer {
  try {
    if (packingSuffix(layer) === '+gzip') return gunzipSync(layer, { maxOutputLength: 1 << 28 });
    return packingSuffix(layer) === '+zstd' ? zstdDecompressSync(layer) : layer;
  } catch {
    return layer;
  }
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
