import { BlockFile, blockBytes } from './block-file.ts';
import type { FileData } from './inode.ts';
import type { EntryContent } from './tar-entries.ts';

/** Files up to this size go behind their inode, with which they are read. */
export const maximumScratchBytes = 2048;
const zeros = Buffer.alloc(blockBytes);

/**
 * Keeps the contents of files while the layers are read: large ones at their final place in the device, small ones in a
 * scratch file until their inodes are written. The blocks of a file that a later layer replaces are given to the next
 * one that needs as many.
 */
export class FileStore {
  readonly device: BlockFile;
  readonly #scratch: BlockFile;
  #scratchBytes = 0;
  /** The first block holds the superblock. */
  #nextBlock = 1;
  readonly #free = new Map<number, number[]>();

  constructor(deviceDescriptor: number, scratchDescriptor: number) {
    this.device = new BlockFile(deviceDescriptor);
    this.#scratch = new BlockFile(scratchDescriptor);
  }

  /** The first block behind all contents. */
  get endBlock(): number {
    return this.#nextBlock;
  }

  async add(size: number, content: EntryContent): Promise<FileData> {
    const isSmall = size <= maximumScratchBytes;
    const firstBlock = isSmall ? 0 : this.allocate(blocksOf(size));
    const start = isSmall ? this.#scratchBytes : firstBlock * blockBytes;
    const target = isSmall ? this.#scratch : this.device;
    let written = 0;
    for (let piece = await content.next(); piece !== undefined; piece = await content.next()) {
      target.write(start + written, piece);
      written += piece.length;
    }
    if (isSmall) {
      this.#scratchBytes += size;
      return { size, place: { kind: 'scratch', offset: start } };
    }
    target.write(start + written, zeros.subarray(0, blocksOf(size) * blockBytes - size));
    return { size, place: { kind: 'blocks', firstBlock } };
  }

  /** Nobody needs these contents any more. */
  remove({ size, place }: FileData): void {
    if (place.kind === 'scratch') return;
    const blocks = blocksOf(size);
    const sameSize = this.#free.get(blocks);
    if (sameSize) sameSize.push(place.firstBlock);
    else this.#free.set(blocks, [place.firstBlock]);
  }

  /** The first `length` bytes of a file, or all of it. */
  read({ size, place }: FileData, length = size): Buffer {
    const wanted = Math.min(length, size);
    return place.kind === 'scratch'
      ? this.#scratch.read(place.offset, wanted)
      : this.device.read(place.firstBlock * blockBytes, wanted);
  }

  /** Blocks one behind the other; answers the first. */
  allocate(blocks: number): number {
    const reused = this.#free.get(blocks)?.pop();
    if (reused !== undefined) return reused;
    const first = this.#nextBlock;
    this.#nextBlock += blocks;
    return first;
  }
}

export function blocksOf(bytes: number): number {
  return Math.ceil(bytes / blockBytes);
}
