import { blockBytes } from './block-file.ts';
import { directoryBytes, type NamedInode, packDirectory } from './erofs-directory.ts';
import { packSuperblock } from './erofs-superblock.ts';
import { attributeCount, packExtendedAttributes } from './erofs-xattrs.ts';
import { blocksOf, type FileStore } from './file-store.ts';
import { type DirectoryInode, fileTypes, type Inode, isDirectory } from './inode.ts';

/** Inodes are addressed in slots of this size … */
const slotBytes = 32;
/** … and these, the larger of two forms, have room for every id, size and time. */
const inodeBytes = 64;
/** Inode 0 is avoided: some readers take it for none. */
const firstSlot = 2;

/** Data behind the inode's blocks, or, where all of it fits, behind the inode itself (`i_format`, `EROFS_INODE_…`). */
const extendedPlain = 1;
const extendedInline = 1 | (2 << 1);

const entryTypes: Readonly<Record<number, number>> = {
  [fileTypes.file]: 1,
  [fileTypes.directory]: 2,
  [fileTypes.characterDevice]: 3,
  [fileTypes.blockDevice]: 4,
  [fileTypes.fifo]: 5,
  [fileTypes.symbolicLink]: 7,
};

/** An inode with its place in the device. */
interface PlacedInode {
  readonly inode: Inode;
  readonly parent: PlacedInode | undefined;
  readonly number: number;
  readonly attributes: Buffer;
  readonly size: number;
  /** Whether the contents lie behind the inode. */
  readonly isInline: boolean;
  /** First block of contents that do not; 0 where there are none. */
  readonly firstBlock: number;
  readonly slot: number;
}

/**
 * Writes what makes the contents in `files` a file system: inodes, folders, attributes, superblock. EROFS without
 * compression and without optional features, as every kernel from 5.4 on reads it.
 */
export function writeErofs(root: DirectoryInode, files: FileStore, uuid: Buffer): { bytes: number } {
  const placed = placeInodes(root, files);
  const metadataBlock = files.endBlock;
  const { device } = files;
  let end = metadataBlock * blockBytes;
  for (const each of placed.values()) {
    const { slot, isInline, firstBlock, attributes } = each;
    const position = metadataBlock * blockBytes + slot * slotBytes;
    const inline = isInline ? contentsOf(each, placed, files) : Buffer.alloc(0);
    const bytes = Buffer.concat([packInode(each), attributes, inline]);
    device.write(position, bytes);
    end = position + bytes.length;
    if (firstBlock > 0 && isOwn(each)) {
      device.write(firstBlock * blockBytes, contentsOf(each, placed, files));
    }
  }
  const blocks = blocksOf(end);
  if (end % blockBytes > 0) device.write(end, Buffer.alloc(blockBytes - (end % blockBytes)));
  device.write(0, packSuperblock({ inodes: placed.size, blocks, metadataBlock, rootSlot: firstSlot, uuid }));
  device.flush();
  return { bytes: blocks * blockBytes };
}

/** Whether contents in blocks are written here, and were not before, as those of large files. */
function isOwn({ inode }: PlacedInode): boolean {
  return inode.content.kind !== 'file' || inode.content.data.place.kind === 'scratch';
}

/** Each inode once, the root first, with the slots of those of a folder one behind the other. */
function placeInodes(root: DirectoryInode, files: FileStore): Map<Inode, PlacedInode> {
  const placed = new Map<Inode, PlacedInode>();
  let position = firstSlot * slotBytes;
  const place = (inode: Inode, parent: PlacedInode | undefined): PlacedInode => {
    const attributes = packExtendedAttributes(inode.extendedAttributes);
    const size = sizeOf(inode);
    const bare = inodeBytes + attributes.length;
    const isInBlocks = inode.content.kind === 'file' && inode.content.data.place.kind === 'blocks';
    const isInline = size > 0 && !isInBlocks && bare + size <= blockBytes;
    const length = isInline ? bare + size : inodeBytes;
    // Neither an inode nor contents behind it may lie in two blocks.
    if ((position % blockBytes) + length > blockBytes) position = blocksOf(position) * blockBytes;
    const slot = position / slotBytes;
    position = Math.ceil((position + (isInline ? length : bare)) / slotBytes) * slotBytes;
    const firstBlock = isInline || size === 0 ? 0 : blockOf(inode, size, files);
    const number = placed.size + 1;
    const result = { inode, parent, number, attributes, size, isInline, firstBlock, slot };
    placed.set(inode, result);
    return result;
  };
  const folders = [place(root, undefined)];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (!isDirectory(folder.inode)) continue;
    for (const { inode } of folder.inode.content.entries.values()) {
      if (placed.has(inode)) continue;
      const child = place(inode, folder);
      if (isDirectory(inode)) folders.push(child);
    }
  }
  return placed;
}

function blockOf({ content }: Inode, size: number, files: FileStore): number {
  const isPlaced = content.kind === 'file' && content.data.place.kind === 'blocks';
  return isPlaced ? content.data.place.firstBlock : files.allocate(blocksOf(size));
}

function sizeOf({ content }: Inode): number {
  switch (content.kind) {
    case 'directory':
      return directoryBytes(namesOf([...content.entries.keys()]));
    case 'file':
      return content.data.size;
    case 'symbolic-link':
      return content.target.length;
    case 'device':
    case 'fifo':
      return 0;
  }
}

/** As they are sorted in a folder: by their bytes. */
function namesOf(names: readonly string[]): string[] {
  return ['.', '..', ...names].sort((a, b) => (a < b ? -1 : 1));
}

function contentsOf(each: PlacedInode, placed: ReadonlyMap<Inode, PlacedInode>, files: FileStore): Buffer {
  const { content } = each.inode;
  switch (content.kind) {
    case 'directory': {
      const children = content.entries;
      return packDirectory(
        namesOf([...children.keys()]).map((name): NamedInode => {
          const child = children.get(name)?.inode;
          const inode =
            name === '.' ? each : name === '..' ? (each.parent ?? each) : child && placed.get(child);
          if (!inode) throw new Error('an inode was not placed');
          return { name, slot: inode.slot, type: entryTypes[inode.inode.mode & 0o170000] ?? 0 };
        }),
      );
    }
    case 'file':
      return content.data.place.kind === 'scratch' ? files.read(content.data) : Buffer.alloc(0);
    case 'symbolic-link':
      return Buffer.from(content.target, 'latin1');
    case 'device':
    case 'fifo':
      return Buffer.alloc(0);
  }
}

/** `struct erofs_inode_extended` */
function packInode({ inode, number, attributes, size, isInline, firstBlock }: PlacedInode): Buffer {
  const bytes = Buffer.alloc(inodeBytes);
  bytes.writeUInt16LE(isInline ? extendedInline : extendedPlain, 0);
  bytes.writeUInt16LE(attributeCount(attributes), 2);
  bytes.writeUInt16LE(inode.mode, 4);
  bytes.writeBigUInt64LE(BigInt(size), 8);
  bytes.writeUInt32LE(inode.content.kind === 'device' ? deviceNumber(inode.content) : firstBlock, 16);
  bytes.writeUInt32LE(number, 20);
  bytes.writeUInt32LE(inode.userId, 24);
  bytes.writeUInt32LE(inode.groupId, 28);
  bytes.writeBigUInt64LE(BigInt(inode.modifiedAt), 32);
  bytes.writeUInt32LE(inode.modifiedAtNanoseconds, 40);
  bytes.writeUInt32LE(linksOf(inode), 44);
  return bytes;
}

/** A folder is named by itself, by its own name and by each folder in it. */
function linksOf(inode: Inode): number {
  if (!isDirectory(inode)) return inode.links;
  return 2 + [...inode.content.entries.values()].filter((entry) => isDirectory(entry.inode)).length;
}

/** As the kernel encodes it (`new_encode_dev`). */
function deviceNumber({ major, minor }: { major: number; minor: number }): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}
