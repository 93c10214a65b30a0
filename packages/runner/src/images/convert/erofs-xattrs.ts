/**
 * Prefixes of extended attributes, as EROFS numbers them (Linux fs/erofs/erofs_fs.h). Others have no place in an image:
 * `trusted.` ones could only be set by root of the host, and would steer the overlay above the image.
 */
const prefixes: readonly (readonly [string, number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['security.', 6],
];
const headerBytes = 12;
const entryBytes = 4;
const maximumValueBytes = 65_535;

/** The extended attributes behind an inode; empty when it has none. Texts are Latin-1. */
export function packExtendedAttributes(attributes: ReadonlyMap<string, string>): Buffer {
  const entries = [...attributes].flatMap(([name, value]) => packEntry(name, value) ?? []);
  if (entries.length === 0) return Buffer.alloc(0);
  return Buffer.concat([Buffer.alloc(headerBytes), ...entries]);
}

/** The length of packed attributes as an inode tells it (`i_xattr_icount`). */
export function attributeCount(packed: Buffer): number {
  return packed.length === 0 ? 0 : (packed.length - headerBytes) / 4 + 1;
}

function packEntry(name: string, value: string): Buffer | undefined {
  const prefix = prefixes.find(([text]) => (text.endsWith('.') ? name.startsWith(text) : name === text));
  if (!prefix) return undefined;
  const [text, index] = prefix;
  const rest = name.slice(text.length);
  if (rest.length > 255 || value.length > maximumValueBytes) return undefined;
  const length = entryBytes + rest.length + value.length;
  const packed = Buffer.alloc(Math.ceil(length / 4) * 4);
  packed.writeUInt8(rest.length, 0);
  packed.writeUInt8(index, 1);
  packed.writeUInt16LE(value.length, 2);
  packed.write(rest + value, entryBytes, 'latin1');
  return packed;
}
