import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ImageRefused, type Meter } from './limits.ts';

const chunkBytes = 256 * 1024;

/**
 * The tar archive in a layer's blob, unpacked by what its first bytes say it is: gzip, zstd, or neither. The meter stops
 * it. Throws `ImageRefused` when the compressed data is damaged.
 */
export async function* unpackedLayer(file: FileHandle, meter: Meter): AsyncGenerator<Buffer> {
  for await (const chunk of await unpack(file)) {
    meter.countUnpacked(chunk.length);
    yield chunk;
  }
}

async function unpack(file: FileHandle): Promise<AsyncIterable<Buffer>> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  const magic = buffer.toString('hex', 0, bytesRead);
  if (magic.startsWith('1f8b')) return gunzip(file);
  // The second is a frame to be skipped, with which indexed layers may begin.
  if (magic === '28b52ffd' || /^5.2a4d18$/.test(magic)) return unzstd(file);
  return read(file);
}

function read(file: FileHandle): Readable {
  return file.createReadStream({ start: 0, highWaterMark: chunkBytes, autoClose: false });
}

async function* gunzip(file: FileHandle): AsyncGenerator<Buffer> {
  const packed = read(file);
  const unpacked = createGunzip({ chunkSize: chunkBytes });
  packed.on('error', (error) => unpacked.destroy(error));
  try {
    yield* packed.pipe(unpacked);
  } catch (error) {
    throw damaged(error instanceof Error ? error.message : String(error));
  } finally {
    packed.destroy();
    unpacked.destroy();
  }
}

/** By the zstd program: Node's own decoder stops after the first of several frames. */
async function* unzstd(file: FileHandle): AsyncGenerator<Buffer> {
  const program = spawn('zstd', ['--decompress', '--stdout', '--quiet'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const packed = read(file);
  packed.pipe(program.stdin);
  program.stdin.on('error', () => {}); // It ended early; its exit code tells.
  let errors = '';
  program.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-500);
  });
  const ended = once(program, 'close');
  ended.catch(() => {});
  try {
    yield* program.stdout;
    const [code] = await ended;
    if (code !== 0) throw damaged(errors.trim());
  } finally {
    packed.destroy();
    program.kill('SIGKILL');
  }
}

function damaged(reason: string): ImageRefused {
  return new ImageRefused(`one of its layers is damaged (${reason}); push the image again.`);
}
