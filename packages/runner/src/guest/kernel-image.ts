import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { runCommand } from '../setup/run-command.ts';

/** Linux's own names for the fields (Documentation/arch/x86/boot.rst), by their offsets in the file. */
const setupSectors = 0x1f1;
const magic = 0x202;
const payloadOffset = 0x248;
const payloadLength = 0x24c;
const sectorBytes = 512;
/** After the payload stands the size of what was compressed. */
const sizeBytes = 4;
const elfMagic = '\x7fELF';

/** How kernels are compressed: the first bytes, and the command that decompresses file to standard output. */
const compressions = [
  { name: 'lz4', start: '02214c18', argv: ['lz4', '-dc'] },
  { name: 'zstd', start: '28b52ffd', argv: ['zstd', '-dcq'] },
  { name: 'xz', start: 'fd377a58', argv: ['xz', '-dcq'] },
  { name: 'gzip', start: '1f8b', argv: ['gzip', '-dcq'] },
] as const;

/** Writes the ELF file inside a compressed kernel (`vmlinuz`) to `target`. Throws when it is none, or a tool is missing. */
export async function extractKernel(source: string, target: string): Promise<void> {
  const image = await readFile(source);
  if (image.toString('latin1', magic, magic + 4) !== 'HdrS') throw new Error(`${source} is no Linux kernel.`);
  const start = (image.readUInt8(setupSectors) + 1) * sectorBytes + image.readUInt32LE(payloadOffset);
  const payload = image.subarray(start, start + image.readUInt32LE(payloadLength) - sizeBytes);
  const compression = compressions.find(
    (one) => payload.toString('hex', 0, one.start.length / 2) === one.start,
  );
  if (compression === undefined)
    throw new Error(`The kernel ${source} is compressed in a way that is not known.`);

  const compressed = `${target}.${compression.name}`;
  await writeFile(compressed, payload);
  await runCommand(['sh', '-c', 'exec "$@" > "$0"', target, ...compression.argv, compressed]);
  await rm(compressed);
  const file = await open(target);
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0).finally(() => file.close());
  if (buffer.toString('latin1') !== elfMagic) throw new Error(`The kernel ${source} holds no ELF file.`);
}
