import type { ImagesResponse, WantedImage } from '@slipway/core';
import type { PoolCalls } from './control-plane-client/calls.ts';
import { patientBackOff, pause, untilAnswered } from './control-plane-client/retry.ts';
import type { RunnerLog, RunnerParts } from './runner-options.ts';

const waitSeconds = 20;
const refusedPauseMilliseconds = 10_000;

export interface ImagePreparationOptions {
  readonly calls: PoolCalls;
  /** Of the newest registration. */
  readonly runnerId: () => string;
  readonly images: RunnerParts['images'];
  /** Reference of the image of runs that name none. */
  readonly defaultImage: string;
  readonly log: RunnerLog;
}

/**
 * Fetches and converts the images that runs may ask for before one does: the default one, and those that the settings of
 * the pool's stacks name, as soon as they are saved. One at a time, and only while the cache has room: nothing is evicted
 * for a run that may never come. Ends with `signal`, and never rejects.
 */
export async function prepareImages(options: ImagePreparationOptions, signal: AbortSignal): Promise<void> {
  await prepare(options, { reference: options.defaultImage, credentials: null }, signal);
  let known: ImagesResponse = { revision: '', images: [] };
  while (!signal.aborted) {
    const answer = await ask(options, known.revision, signal);
    if (!answer) continue;
    const before = new Set(known.images.map(nameOf));
    for (const image of answer.images) {
      if (!before.has(nameOf(image))) await prepare(options, image, signal);
    }
    known = answer;
  }
}

/** What is wanted now, when that is something else than before; undefined when it is not, or nobody answers. */
async function ask(
  { calls, runnerId, log }: ImagePreparationOptions,
  knownRevision: string,
  signal: AbortSignal,
): Promise<ImagesResponse | undefined> {
  try {
    const request = () => ({ runnerId: runnerId(), knownRevision: knownRevision || null, waitSeconds });
    return await untilAnswered(() => calls.images(request(), signal), { signal, backOff: patientBackOff });
  } catch (error) {
    if (signal.aborted) return undefined;
    // The runner registers again with its next claim, when that is the reason.
    log.warn({ err: error }, 'The control plane does not tell which images to prepare; asking again');
    await pause(refusedPauseMilliseconds, signal).catch(() => undefined);
    return undefined;
  }
}

async function prepare(
  { images, log }: ImagePreparationOptions,
  { reference, credentials }: WantedImage,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  try {
    if (await images.isNearlyFull()) {
      log.info({ reference }, 'An executor image is not prepared: the image cache is nearly full');
      return;
    }
    const { digest, release } = await images.resolve(reference, { credentials, signal });
    await release();
    log.info({ reference, digest }, 'An executor image is ready');
  } catch (error) {
    if (!signal.aborted) log.warn({ err: error, reference }, 'An executor image could not be prepared');
  }
}

function nameOf(image: WantedImage): string {
  return JSON.stringify(image);
}
