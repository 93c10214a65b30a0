import { createHmac } from 'node:crypto';
import type { ImagesRequest, ImagesResponse, WantedImage } from '@slipway/core';
import type { PoolRecord } from '../pools/index.ts';
import type { ClaimWaiting } from './claim-route.ts';

/** More than a runner's cache holds. */
const maximumImages = 500;
/** A wake-up may be lost: a waiting call looks again this often by itself. */
const lookAgainMilliseconds = 20_000;

/**
 * Waits until the images that the pool's runners are to prepare are others than those of the known revision, at most
 * `waitSeconds`, or until `gone`; undefined when they are still the same.
 */
export async function waitForImages(
  { controlPlane, workflows, wakeUp }: ClaimWaiting,
  pool: PoolRecord,
  { knownRevision, waitSeconds }: ImagesRequest,
  gone: AbortSignal,
): Promise<ImagesResponse | undefined> {
  const { db, masterKey } = controlPlane;
  const deadline = performance.now() + waitSeconds * 1000;
  for (;;) {
    const { generation } = wakeUp.images;
    const lists = await Promise.all(Object.values(workflows).map((runs) => runs.images(db, pool)));
    const images = lists.flat().slice(0, maximumImages);
    const revision = revisionOf(masterKey, images);
    if (revision !== knownRevision) return { revision, images };
    const left = deadline - performance.now();
    if (left <= 0 || gone.aborted) return undefined;
    await wakeUp.images.waitBeyond(generation, Math.min(left, lookAgainMilliseconds), gone);
  }
}

/** Names the list without telling anything of the passwords in it. */
function revisionOf(masterKey: Buffer, images: readonly WantedImage[]): string {
  return createHmac('sha256', masterKey)
    .update(`images\0${JSON.stringify(images)}`)
    .digest('hex');
}
