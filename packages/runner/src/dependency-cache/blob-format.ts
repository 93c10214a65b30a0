import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** How entries of one kind travel between hosts, as files. */
export interface BlobFormat {
  /** Writes what is to be sent for the entry `entry` to the empty file `blob`. */
  pack(entry: string, blob: string, signal: AbortSignal): Promise<void>;
  /** The opposite, with at most `maximumBytes` of data. Rejects when `blob` is no packed entry. */
  unpack(blob: string, entry: string, maximumBytes: number, signal: AbortSignal): Promise<void>;
}

/** Archives are compressed already, by the executor. */
export const archiveFormat: BlobFormat = {
  pack: (entry, blob, signal) => copy(entry, blob, signal),
  unpack: (blob, entry, _maximumBytes, signal) => copy(blob, entry, signal),
};

function copy(from: string, to: string, signal: AbortSignal): Promise<void> {
  return pipeline(createReadStream(from), createWriteStream(to), { signal });
}

/** Disks are sent without their holes (guest/host/sparse-file.c), compressed by a process that leaves the runs their way. */
export function deviceFormat(sparseFilePath: string): BlobFormat {
  return {
    pack: (entry, blob, signal) =>
      pipe(entry, [sparseFilePath, 'pack'], ['nice', 'zstd', '-q', '-1', '-c'], blob, signal),
    unpack: (blob, entry, maximumBytes, signal) =>
      pipe(blob, ['zstd', '-q', '-d', '-c'], [sparseFilePath, 'unpack', String(maximumBytes)], entry, signal),
  };
}

/** `first < from | second > to`. */
async function pipe(
  from: string,
  first: readonly [string, ...string[]],
  second: readonly [string, ...string[]],
  to: string,
  signal: AbortSignal,
): Promise<void> {
  await using input = await open(from, 'r');
  await using output = await open(to, 'w');
  const [writer, ...writerArguments] = first;
  const [reader, ...readerArguments] = second;
  const options = { signal, killSignal: 'SIGKILL' } as const;
  const writing = spawn(writer, writerArguments, { ...options, stdio: [input.fd, 'pipe', 'pipe'] });
  const reading = spawn(reader, readerArguments, { ...options, stdio: ['pipe', output.fd, 'pipe'] });
  if (writing.stdout === null || reading.stdin === null) throw new Error('a process came without its pipes');
  const ended = Promise.all([success(writing, writer), success(reading, reader)]);
  // Where one of them ends early, that one tells why.
  await Promise.all([ended, pipeline(writing.stdout, reading.stdin).catch(() => undefined)]);
}

function success(child: ChildProcess, name: string): Promise<void> {
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-1000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signalName) => {
      if (code === 0) resolve();
      else reject(new Error(`${name} ended with ${signalName ?? `status ${code}`}: ${errors.trim()}`));
    });
  });
}
