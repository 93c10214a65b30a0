const gibibyte = 1024 ** 3;

/** How much an image may take, whatever its layers say of themselves: they are written by strangers. */
export interface ConversionLimits {
  /** Bytes of all layers unpacked, and of the device that is made of them. */
  readonly unpackedBytes: number;
  /** Entries of all layers together. */
  readonly entries: number;
  /** Names, link targets and extended attributes, which are kept in memory. */
  readonly metadataBytes: number;
}

export const usualLimits: ConversionLimits = {
  unpackedBytes: 32 * gibibyte,
  entries: 1_000_000,
  metadataBytes: 256 * 1024 ** 2,
};

export const maximumLayers = 500;

/** An image cannot be converted; the message says what is wrong with it, as the end of "Executor image X: …". */
export class ImageRefused extends Error {
  override readonly name = 'ImageRefused';
}

/** Counts what the layers of one image bring, and throws `ImageRefused` when it is too much. */
export class Meter {
  readonly #limits: ConversionLimits;
  #unpackedBytes = 0;
  #entries = 0;
  #metadataBytes = 0;

  constructor(limits: ConversionLimits) {
    this.#limits = limits;
  }

  get unpackedBytes(): number {
    return this.#unpackedBytes;
  }

  countUnpacked(bytes: number): void {
    this.#unpackedBytes += bytes;
    if (this.#unpackedBytes <= this.#limits.unpackedBytes) return;
    const most = (this.#limits.unpackedBytes / gibibyte).toFixed(1);
    throw new ImageRefused(`its layers unpack to more than the ${most} GiB allowed; make it smaller.`);
  }

  countEntry(metadataBytes: number): void {
    this.#entries += 1;
    this.#metadataBytes += metadataBytes;
    if (this.#entries > this.#limits.entries) {
      throw new ImageRefused(
        `its layers hold more than the ${this.#limits.entries} files allowed; make it smaller.`,
      );
    }
    if (this.#metadataBytes > this.#limits.metadataBytes) {
      const most = Math.floor(this.#limits.metadataBytes / 1024 ** 2);
      throw new ImageRefused(
        `the names and attributes of its files have more than the ${most} MiB allowed; make it smaller.`,
      );
    }
  }
}
