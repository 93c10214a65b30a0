import { createHmac } from 'node:crypto';
import { setImmediate as otherWork } from 'node:timers/promises';
import {
  type ImageFailure,
  type ImagesRequest,
  type ImagesResponse,
  maskPatterns,
  maskWith,
  type WantedImage,
} from '@slipway/core';
import { type PoolRecord, storeImageFailures } from '../pools/index.ts';
import type { ClaimWaiting } from './claim-route.ts';

/** More than a runner's cache holds. */
const maximumImages = 500;
/** A wake-up may be lost: a waiting call looks again this often by itself. */
const lookAgainMilliseconds = 20_000;

/**
 * Keeps which images the runner could not make ready. Then waits until the images that the pool's runners are to prepare
 * are others than those of the known revision, at most `waitSeconds`, or until `gone`; undefined when they are the same.
 */
export async function waitForImages(
  { controlPlane, workflows, wakeUp }: ClaimWaiting,
  pool: PoolRecord,
  { runnerId, knownRevision, waitSeconds, failures }: ImagesRequest,
  gone: AbortSignal,
): Promise<ImagesResponse | undefined> {
  const { db, masterKey } = controlPlane;
  const look = async () => {
    const { generation } = wakeUp.images;
    const lists = await Promise.all(Object.values(workflows).map((runs) => runs.images(db, pool)));
    const images = lists.flat().slice(0, maximumImages);
    return { generation, images, revision: revisionOf(masterKey, images) };
  };
  let seen = await look();
  await storeImageFailures(db, runnerId, await believable(failures, seen.images));
  const deadline = performance.now() + waitSeconds * 1000;
  while (seen.revision === knownRevision) {
    const left = deadline - performance.now();
    if (left <= 0 || gone.aborted) return undefined;
    await wakeUp.images.waitBeyond(seen.generation, Math.min(left, lookAgainMilliseconds), gone);
    seen = await look();
  }
  return { revision: seen.revision, images: seen.images };
}

/** What is said of images that somebody wants, without their passwords, which a registry may have said to the runner. */
async function believable(
  failures: readonly ImageFailure[],
  images: readonly WantedImage[],
): Promise<readonly ImageFailure[]> {
  const wanted = new Map(images.map((image) => [image.id, image]));
  const told: ImageFailure[] = [];
  for (const failure of failures) {
    const image = wanted.get(failure.imageId);
    if (!image) continue;
    const secrets = maskPatterns(image.credentials ? [image.credentials.password] : []);
    told.push({ ...failure, problem: maskWith(secrets, failure.problem) });
    // To look for a long password takes a moment.
    await otherWork();
  }
  return told;
}

/** Names the list without telling anything of the passwords in it. */
function revisionOf(masterKey: Buffer, images: readonly WantedImage[]): string {
  return createHmac('sha256', masterKey)
    .update(`images\0${JSON.stringify(images)}`)
    .digest('hex');
}
