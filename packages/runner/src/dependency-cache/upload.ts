import { open } from 'node:fs/promises';
import { cachePartBytes, partLength } from '@slipway/core';
import type { CacheCalls } from '../control-plane-client/cache-calls.ts';
import { patientBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import { digestOf } from './download.ts';

/**
 * Uploads `blob`, or the parts of it that the control plane lacks. Calls that get no answer are repeated until `signal`
 * is aborted. Answers why it was not wanted; undefined when it is there.
 */
export async function uploadBlob(
  calls: CacheCalls,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  blob: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const answered = <T>(ask: () => Promise<T>) => untilAnswered(ask, { signal, backOff: patientBackOff });
  await using file = await open(blob, 'r');
  const blobBytes = (await file.stat()).size;
  const sha256 = await digestOf(blob, signal);
  const answer = await answered(() => calls.offer({ namespace, name, blobBytes, sha256 }, signal));
  if (!answer.isWanted) return answer.reason;
  const { entryId, missingParts } = answer;
  for (const part of missingParts) {
    const length = partLength(blobBytes, part);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, part * cachePartBytes);
    await answered(() => calls.sendPart(entryId, part, buffer, signal));
  }
  await answered(() => calls.complete(entryId, signal));
  return undefined;
}
