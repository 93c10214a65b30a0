import { join } from 'node:path';

/** Where the image store keeps what, below the cache folder. Names are digests of contents, so nothing is ever changed. */
export class StoreFolder {
  readonly root: string;

  constructor(cacheDirectory: string) {
    this.root = join(cacheDirectory, 'images');
  }

  /** A folder for each converted image: the device and its record. */
  get devices(): string {
    return join(this.root, 'devices');
  }

  /** Layers as they came from registries, so that images that share some fetch them once. */
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

  device(digest: string): string {
    return join(this.devices, digest.replace(':', '-'));
  }

  layer(digest: string): string {
    return join(this.layers, digest.replace(':', '-'));
  }
}

export const deviceName = 'root.erofs';
export const recordName = 'image.json';
