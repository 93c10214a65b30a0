import { createHash } from 'node:crypto';
import { join } from 'node:path';

/**
 * Where the image store keeps what, below the cache folder. Names stand for contents, so nothing is ever changed. What came
 * from a repository is kept for that repository alone: its registry decides by repository who may have it, while anybody's
 * registry can name a digest, and serve a manifest of which it has no layer.
 */
export class StoreFolder {
  readonly root: string;

  constructor(cacheDirectory: string) {
    this.root = join(cacheDirectory, 'images');
  }

  /** A folder for each converted image: the device and its record. */
  get devices(): string {
    return join(this.root, 'devices');
  }

  /** Layers as they came from registries, so that images of a repository that share some fetch them once. */
  get layers(): string {
    return join(this.root, 'layers');
  }

  /** Which image an index for several platforms means on this one. */
  get indexes(): string {
    return join(this.root, 'indexes');
  }

  /** What the names of images mean that were built on this host. */
  get localNames(): string {
    return join(this.root, 'local');
  }

  /** A folder for each process that holds images. */
  get holders(): string {
    return join(this.root, 'holders');
  }

  /** A record for each image that could not be made ready ahead of time. */
  get failures(): string {
    return join(this.root, 'failures');
  }

  /** `repository`: null for an image that was built on this host. */
  device(digest: string, repository: string | null): string {
    return join(this.devices, fileName(repository === null ? digest : ofRepository(digest, repository)));
  }

  layer(digest: string, repository: string): string {
    return join(this.layers, fileName(ofRepository(digest, repository)));
  }
}

function ofRepository(digest: string, repository: string): string {
  return `sha256:${createHash('sha256').update(`${repository}@${digest}`).digest('hex')}`;
}

function fileName(digest: string): string {
  return digest.replace(':', '-');
}

export const deviceName = 'root.erofs';
export const recordName = 'image.json';
