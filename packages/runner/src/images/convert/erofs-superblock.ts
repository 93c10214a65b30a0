import { blockBytes } from './block-file.ts';

const superblockOffset = 1024;
const magic = 0xe0f5e1e2;

export interface Superblock {
  readonly inodes: number;
  readonly blocks: number;
  /** Block from which slots of inodes are counted. */
  readonly metadataBlock: number;
  readonly rootSlot: number;
  /** 16 bytes. */
  readonly uuid: Buffer;
}

/** The first block of an EROFS file system (Linux fs/erofs/erofs_fs.h: `erofs_super_block`), with no feature in use. */
export function packSuperblock({ inodes, blocks, metadataBlock, rootSlot, uuid }: Superblock): Buffer {
  const block = Buffer.alloc(blockBytes);
  const at = (offset: number) => superblockOffset + offset;
  block.writeUInt32LE(magic, at(0));
  block.writeUInt8(Math.log2(blockBytes), at(12));
  block.writeUInt16LE(rootSlot, at(14));
  block.writeBigUInt64LE(BigInt(inodes), at(16));
  block.writeUInt32LE(blocks, at(36));
  block.writeUInt32LE(metadataBlock, at(40));
  uuid.copy(block, at(48));
  return block;
}
