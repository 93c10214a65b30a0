import { ImageRefused } from './limits.ts';

export const blockBytes = 512;

/** The fields of a tar header block. Texts are kept byte by byte (Latin-1): names need not be UTF-8. */
export interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  /** Type flag, a character; `0` for a file. */
  readonly type: string;
  /** Permission bits. */
  readonly mode: number;
  readonly userId: number;
  readonly groupId: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** A header block (POSIX ustar, GNU or the old format); undefined for a block of zeros. Throws `ImageRefused`. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (number(block, 148, 8) !== checksum(block))
    throw new ImageRefused('one of its layers is no tar archive.');
  const name = text(block, 0, 100);
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(block, 345, 155) : '';
  const flag = String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    type: flag === '\0' || flag === '7' ? '0' : flag,
    mode: number(block, 100, 8) & 0o7777,
    userId: number(block, 108, 8),
    groupId: number(block, 116, 8),
    size: number(block, 124, 12),
    modifiedAt: number(block, 136, 12),
    deviceMajor: number(block, 329, 8),
    deviceMinor: number(block, 337, 8),
  };
}

function text(block: Buffer, start: number, length: number): string {
  const field = block.toString('latin1', start, start + length);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
}

/** Octal digits, or with the highest bit set a number to the base 256. Nothing negative occurs in images. */
function number(block: Buffer, start: number, length: number): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) === 0) return Number.parseInt(text(block, start, length).trim(), 8) || 0;
  let value = first & 0x40 ? 0 : first & 0x3f;
  for (let place = start + 1; place < start + length; place += 1) value = value * 256 + (block[place] ?? 0);
  return first & 0x40 || !Number.isSafeInteger(value) ? 0 : value;
}

/** The sum of all bytes, the checksum's own eight counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let place = 0; place < blockBytes; place += 1) {
    if (place < 148 || place >= 156) sum += block[place] ?? 0;
  }
  return sum;
}

/** The records of an extended header (POSIX pax: `<length> <name>=<value>\n`), as Latin-1. Throws `ImageRefused`. */
export function parsePaxRecords(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let start = 0; start < bytes.length; ) {
    const space = bytes.indexOf(0x20, start);
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', start, space));
    const end = start + length;
    const equals = bytes.indexOf(0x3d, space);
    const isRecord = Number.isInteger(length) && end <= bytes.length && equals > space && equals < end;
    if (!isRecord || bytes[end - 1] !== 0x0a)
      throw new ImageRefused('one of its layers is a damaged tar archive.');
    records.set(bytes.toString('latin1', space + 1, equals), bytes.toString('latin1', equals + 1, end - 1));
    start = end;
  }
  return records;
}
