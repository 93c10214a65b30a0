import { blockBytes } from './block-file.ts';

const directoryEntryBytes = 12;

export interface NamedInode {
  /** Latin-1. */
  readonly name: string;
  /** Where the inode is, in slots of 32 bytes. */
  readonly slot: number;
  /** EROFS's own numbers: 1 file, 2 folder, 3 character device, 4 block device, 5 fifo, 7 symbolic link. */
  readonly type: number;
}

/** How many bytes a folder with these names takes; they are sorted by their bytes, `.` and `..` among them. */
export function directoryBytes(names: readonly string[]): number {
  const blocks = blocksOf(names);
  const last = blocks.at(-1) ?? [];
  return (
    (blocks.length - 1) * blockBytes + last.reduce((sum, name) => sum + directoryEntryBytes + name.length, 0)
  );
}

/**
 * A folder as EROFS keeps it: blocks that each begin with the entries of some names, in order, and have the names
 * behind them. Every block but the last is filled up with zeros.
 */
export function packDirectory(entries: readonly NamedInode[]): Buffer {
  const packed = Buffer.alloc(directoryBytes(entries.map(({ name }) => name)));
  let index = 0;
  for (const [number, names] of blocksOf(entries.map(({ name }) => name)).entries()) {
    let entryAt = number * blockBytes;
    let nameOffset = names.length * directoryEntryBytes;
    for (const name of names) {
      const { slot, type } = entries[index] ?? { slot: 0, type: 0 };
      index += 1;
      packed.writeBigUInt64LE(BigInt(slot), entryAt);
      packed.writeUInt16LE(nameOffset, entryAt + 8);
      packed.writeUInt8(type, entryAt + 10);
      packed.write(name, number * blockBytes + nameOffset, 'latin1');
      entryAt += directoryEntryBytes;
      nameOffset += name.length;
    }
  }
  return packed;
}

/** The names of each block. */
function blocksOf(names: readonly string[]): string[][] {
  const blocks: string[][] = [[]];
  let used = 0;
  for (const name of names) {
    const bytes = directoryEntryBytes + name.length;
    if (used + bytes > blockBytes) {
      blocks.push([]);
      used = 0;
    }
    blocks.at(-1)?.push(name);
    used += bytes;
  }
  return blocks;
}
