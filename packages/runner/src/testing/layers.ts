import { gzipSync, zstdCompressSync } from 'node:zlib';

/** An entry of a layer. Whatever is absent is root's, readable by everybody, from the first second of 2020. */
export type LayerEntry = EntryMetadata &
  (
    | { readonly file: string; readonly content?: string | Buffer }
    | { readonly folder: string }
    | { readonly symbolicLink: string; readonly target: string }
    | { readonly hardLink: string; readonly target: string }
    | { readonly device: string; readonly major: number; readonly minor: number }
    | { readonly fifo: string }
  );

interface EntryMetadata {
  readonly mode?: number;
  readonly owner?: readonly [userId: number, groupId: number];
  readonly modifiedAt?: number;
  readonly attributes?: Readonly<Record<string, string | Buffer>>;
}

export type Packing = 'none' | 'gzip' | 'zstd';

const usualTime = 1_577_836_800;
const blockBytes = 512;

/** A layer as a tar archive, packed. Names are taken byte by byte (Latin-1). */
export function layerOf(entries: readonly LayerEntry[], packing: Packing = 'gzip'): Buffer {
  return pack(tarOf(entries), packing);
}

export function pack(bytes: Buffer, packing: Packing): Buffer {
  switch (packing) {
    case 'none':
      return bytes;
    case 'gzip':
      return gzipSync(bytes, { level: 1 });
    case 'zstd':
      return zstdCompressSync(bytes);
  }
}

export function tarOf(entries: readonly LayerEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(2 * blockBytes)]);
}

function entryBlocks(entry: LayerEntry): Buffer[] {
  const { name, type, link = '', content = Buffer.alloc(0), major = 0, minor = 0 } = partsOf(entry);
  const {
    mode = type === '5' ? 0o755 : 0o644,
    owner = [0, 0],
    modifiedAt = usualTime,
    attributes = {},
  } = entry;
  const records = Object.entries(attributes).map(([attribute, value]) =>
    paxRecord(`SCHILY.xattr.${attribute}`, value.toString('latin1')),
  );
  if (name.length > 100) records.push(paxRecord('path', name));
  if (link.length > 100) records.push(paxRecord('linkpath', link));
  for (const [key, id] of [
    ['uid', owner[0]],
    ['gid', owner[1]],
  ] as const) {
    if (id > 0o7777777) records.push(paxRecord(key, String(id)));
  }
  if (!Number.isInteger(modifiedAt)) records.push(paxRecord('mtime', String(modifiedAt)));
  const header = headerBlock({
    ...{ name: name.slice(0, 100), link: link.slice(0, 100), type, mode, size: content.length },
    ...{ userId: Math.min(owner[0], 0o7777777), groupId: Math.min(owner[1], 0o7777777) },
    ...{ modifiedAt: Math.floor(modifiedAt), major, minor },
  });
  return [...(records.length > 0 ? paxBlocks(records.join('')) : []), header, padded(content)];
}

function partsOf(entry: LayerEntry) {
  if ('file' in entry) return { name: entry.file, type: '0', content: Buffer.from(entry.content ?? '') };
  if ('folder' in entry) return { name: `${entry.folder}/`, type: '5' };
  if ('symbolicLink' in entry) return { name: entry.symbolicLink, type: '2', link: entry.target };
  if ('hardLink' in entry) return { name: entry.hardLink, type: '1', link: entry.target };
  if ('fifo' in entry) return { name: entry.fifo, type: '6' };
  return { name: entry.device, type: '3', major: entry.major, minor: entry.minor };
}

interface Header {
  readonly name: string;
  readonly link?: string;
  readonly type: string;
  readonly mode?: number;
  readonly size: number;
  readonly userId?: number;
  readonly groupId?: number;
  readonly modifiedAt?: number;
  readonly major?: number;
  readonly minor?: number;
}

/** One header block of a tar archive (POSIX ustar), for archives that no tool would make. */
export function headerBlock(header: Header): Buffer {
  const { name, link = '', type, mode = 0o644, size, userId = 0, groupId = 0 } = header;
  const { modifiedAt = usualTime, major = 0, minor = 0 } = header;
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(name, 0, 'latin1');
  octal(mode, 100, 8);
  octal(userId, 108, 8);
  octal(groupId, 116, 8);
  octal(size, 124, 12);
  octal(modifiedAt, 136, 12);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write(link, 157, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(major, 329, 8);
  octal(minor, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** An extended header with these records, for the entry behind it. */
export function paxBlocks(records: string): Buffer[] {
  const content = Buffer.from(records, 'latin1');
  return [headerBlock({ name: 'pax', type: 'x', size: content.length }), padded(content)];
}

/** `<length> <name>=<value>\n`, where the length counts itself. */
export function paxRecord(name: string, value: string): string {
  const rest = ` ${name}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)]);
}
