import type { ByteSource } from './byte-source.ts';
import { ImageRefused } from './limits.ts';
import { blockBytes, parsePaxRecords, parseTarHeader, type TarHeader } from './tar-header.ts';

/** Longest extended header: names, and extended attributes of at most 64 KiB each. */
const maximumExtensionBytes = 1024 * 1024;
const extendedAttributePrefix = 'SCHILY.xattr.';

export type EntryKind =
  | 'file'
  | 'hard-link'
  | 'symbolic-link'
  | 'character-device'
  | 'block-device'
  | 'directory'
  | 'fifo';

/** One entry of a layer, with what extended headers said of it. Texts are Latin-1, byte by byte. */
export interface TarEntry extends Omit<TarHeader, 'type'> {
  readonly kind: EntryKind;
  readonly modifiedAtNanoseconds: number;
  readonly extendedAttributes: ReadonlyMap<string, string>;
}

/** The bytes of a file, to be read to their end or not at all. */
export interface EntryContent {
  /** The next bytes; undefined when there are no more. */
  next(): Promise<Buffer | undefined>;
}

const kinds: Readonly<Record<string, EntryKind>> = {
  0: 'file',
  1: 'hard-link',
  2: 'symbolic-link',
  3: 'character-device',
  4: 'block-device',
  5: 'directory',
  6: 'fifo',
};

/**
 * Reads a tar archive to its end, one entry after the other. Throws `ImageRefused` for what is none, and for sparse
 * files: a few bytes of them can stand for any size.
 */
export async function readTar(
  source: ByteSource,
  take: (entry: TarEntry, content: EntryContent) => Promise<void>,
): Promise<void> {
  const global = new Map<string, string>();
  let own = new Map<string, string>();
  for (;;) {
    const block = await source.exactly(blockBytes);
    if (block.length === 0) return;
    if (block.length < blockBytes) throw truncated();
    const header = parseTarHeader(block);
    if (header === undefined) break;
    switch (header.type) {
      case 'x':
        for (const [name, value] of parsePaxRecords(await extension(source, header))) own.set(name, value);
        continue;
      case 'g':
        for (const [name, value] of parsePaxRecords(await extension(source, header))) global.set(name, value);
        continue;
      case 'L':
        own.set('path', cString(await extension(source, header)));
        continue;
      case 'K':
        own.set('linkpath', cString(await extension(source, header)));
        continue;
    }
    // A record without a value takes the one before it back.
    const records = [...global, ...own].filter(([name]) => (own.get(name) ?? global.get(name)) !== '');
    const entry = entryOf(header, new Map(records));
    own = new Map();
    const content = new Content(source, entry.kind === 'file' ? entry.size : 0);
    await take(entry, content);
    await content.skip();
  }
  // Damage of the compressed stream shows at its end only.
  while ((await source.some(1 << 20)) !== undefined);
}

class Content implements EntryContent {
  readonly #source: ByteSource;
  #left: number;
  #padding: number;

  constructor(source: ByteSource, size: number) {
    this.#source = source;
    this.#left = size;
    this.#padding = (blockBytes - (size % blockBytes)) % blockBytes;
  }

  async next(): Promise<Buffer | undefined> {
    if (this.#left === 0) return undefined;
    const piece = await this.#source.some(this.#left);
    if (piece === undefined) throw truncated();
    this.#left -= piece.length;
    return piece;
  }

  async skip(): Promise<void> {
    while ((await this.next()) !== undefined);
    const padding = await this.#source.exactly(this.#padding);
    if (padding.length < this.#padding) throw truncated();
  }
}

async function extension(source: ByteSource, { size }: TarHeader): Promise<Buffer> {
  if (size > maximumExtensionBytes) {
    throw new ImageRefused('one of its layers has a name or attribute of more than 1 MiB.');
  }
  const bytes = await source.exactly(Math.ceil(size / blockBytes) * blockBytes);
  if (bytes.length < size) throw truncated();
  return bytes.subarray(0, size);
}

function entryOf({ type, ...header }: TarHeader, records: ReadonlyMap<string, string>): TarEntry {
  const name = records.get('path') ?? header.name;
  if (type === 'S' || [...records.keys()].some((record) => record.startsWith('GNU.sparse.'))) {
    throw new ImageRefused(
      `its file ${shown(name)} is stored as a sparse file, which is not supported; build the image without.`,
    );
  }
  const kind = kinds[type];
  if (kind === undefined)
    throw new ImageRefused(`its entry ${shown(name)} has an unknown type (${shown(type)}).`);
  const [seconds = '', fraction = ''] = (records.get('mtime') ?? String(header.modifiedAt)).split('.');
  const attributes = [...records].flatMap(([record, value]): [string, string][] =>
    record.startsWith(extendedAttributePrefix) ? [[record.slice(extendedAttributePrefix.length), value]] : [],
  );
  return {
    ...header,
    // The oldest format has no type for folders.
    kind: kind === 'file' && name.endsWith('/') ? 'directory' : kind,
    name,
    linkName: records.get('linkpath') ?? header.linkName,
    userId: natural(records.get('uid'), header.userId),
    groupId: natural(records.get('gid'), header.groupId),
    size: natural(records.get('size'), header.size),
    modifiedAt: natural(seconds, 0),
    modifiedAtNanoseconds: natural(fraction.padEnd(9, '0').slice(0, 9), 0),
    extendedAttributes: new Map(attributes),
  };
}

function natural(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function truncated(): ImageRefused {
  return new ImageRefused('one of its layers ends in the middle.');
}

/** A name out of an image, for a message. */
export function shown(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8')).slice(0, 500);
}
