import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { SharedEntry } from '@slipway/core';
import type { CacheCalls } from '../control-plane-client/cache-calls.ts';
import { CallRefused } from '../control-plane-client/failures.ts';
import { pause } from '../control-plane-client/retry.ts';

/** A connection over which nothing came for so long is given up, and another one tried. */
const silenceMilliseconds = 20_000;
const triesWithoutProgress = 5;
const betweenTriesMilliseconds = 500;

/**
 * Downloads the blob of an entry into the empty file `blob`. What came before a connection broke stays. Rejects when it
 * cannot be had, or when the whole is not what its digest says.
 */
export async function downloadBlob(
  calls: CacheCalls,
  entry: SharedEntry,
  blob: string,
  signal: AbortSignal,
): Promise<void> {
  for (let start = 0, tries = 0; start < entry.blobBytes; ) {
    const before = start;
    try {
      start += await appendFrom(calls, entry, start, blob, signal);
      if (start < entry.blobBytes) throw new Error('the connection ended early');
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CallRefused) throw error;
      start = await lengthOf(blob);
      tries = start > before ? 0 : tries + 1;
      if (tries >= triesWithoutProgress) throw error;
      await pause(betweenTriesMilliseconds, signal);
    }
  }
  if ((await digestOf(blob, signal)) !== entry.sha256) {
    throw new Error('what came is not what was sent: its digest is another one');
  }
}

async function appendFrom(
  calls: CacheCalls,
  { entryId, blobBytes }: SharedEntry,
  start: number,
  blob: string,
  signal: AbortSignal,
): Promise<number> {
  await using file = await open(blob, 'a');
  const response = await calls.read(entryId, start, signal);
  response.setTimeout(silenceMilliseconds, () => response.destroy(new Error('nothing came any more')));
  let length = 0;
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (start + length > blobBytes) throw new Error('more came than was announced');
    await file.writeFile(bytes);
  }
  return length;
}

async function lengthOf(path: string): Promise<number> {
  await using file = await open(path, 'r');
  return (await file.stat()).size;
}

export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk);
  return hash.digest('hex');
}
