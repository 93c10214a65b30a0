import {
  harmlessLine,
  type ImageFailure,
  type ImagesRequest,
  type ImagesResponse,
  maximumImageFailures,
  maximumImageProblemCharacters,
  type WantedImage,
} from '@slipway/core';
import type { PoolCalls } from './control-plane-client/calls.ts';
import { patientBackOff, pause, untilAnswered } from './control-plane-client/retry.ts';
import type { ImageAttempts, ImageOutcome } from './image-attempts.ts';
import type { ImageName } from './images/image-store.ts';
import type { RunnerLog, RunnerParts } from './runner-options.ts';

const waitSeconds = 20;
const refusedPauseMilliseconds = 10_000;
/** The default image has no id of the control plane, which does not hear of it either: it is this host's matter. */
const idOfDefaultImage = '';

export interface ImagePreparationOptions {
  readonly calls: PoolCalls;
  /** Of the newest registration. */
  readonly runnerId: () => string;
  readonly images: RunnerParts['images'];
  /** What came of them, to which runs add what they had. */
  readonly attempts: ImageAttempts;
  /** Reference of the image of runs that name none. */
  readonly defaultImage: string;
  readonly log: RunnerLog;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Fetches and converts the images that runs may ask for before one does: the default one, and those that the settings of
 * the pool's stacks name, as soon as they are saved. One at a time, and only while the cache has room beside the others
 * of them. Why one could not be had is told to the control plane, and kept for `image ls` of this host; it is tried again,
 * but never before one that is new. Ends with `signal`, and never rejects.
 */
export async function prepareImages(options: ImagePreparationOptions, signal: AbortSignal): Promise<void> {
  const defaultImage = { id: idOfDefaultImage, reference: options.defaultImage, credentials: null };
  const { attempts } = options;
  let revision: string | null = null;
  let images: readonly WantedImage[] = [defaultImage];
  while (!signal.aborted) {
    const due = attempts.next(images, options.now());
    const outcome = due && (await prepare(options, due, revision === null ? null : images, signal));
    if (outcome) attempts.note(due, outcome);
    const isMoreDue = attempts.next(images, options.now()) !== undefined;
    const question = {
      ...{ knownRevision: revision, waitSeconds: isMoreDue ? 0 : waitSeconds },
      failures: toldFailures(attempts),
    };
    const answer = await ask(options, question, signal);
    if (!answer) continue;
    const before = images;
    revision = answer.revision;
    images = [defaultImage, ...answer.images];
    await forget(options, { before, images });
  }
}

function toldFailures(attempts: ImageAttempts): ImageFailure[] {
  return attempts
    .failures()
    .filter(({ imageId }) => imageId !== idOfDefaultImage)
    .slice(-maximumImageFailures);
}

/** What nobody wants any more, with the login that failed, is no failure. Of another login that fails one hears again. */
async function forget(
  { images: store, attempts }: ImagePreparationOptions,
  { before, images }: { readonly before: readonly WantedImage[]; readonly images: readonly WantedImage[] },
): Promise<void> {
  const ids = new Set(images.map(({ id }) => id));
  for (const { id, reference } of before.filter((image) => !ids.has(image.id))) {
    if (attempts.forget(id)) await store.forgetFailure(reference).catch(() => undefined);
  }
}

/** What is wanted now, when that is something else than before; undefined when it is not, or nobody answers. */
async function ask(
  { calls, runnerId, log }: ImagePreparationOptions,
  question: Omit<ImagesRequest, 'runnerId'>,
  signal: AbortSignal,
): Promise<ImagesResponse | undefined> {
  try {
    const request = () => ({ runnerId: runnerId(), ...question });
    return await untilAnswered(() => calls.images(request(), signal), { signal, backOff: patientBackOff });
  } catch (error) {
    if (signal.aborted) return undefined;
    // The runner registers again with its next claim, when that is the reason.
    log.warn({ err: error }, 'The control plane does not tell which images to prepare; asking again');
    await pause(refusedPauseMilliseconds, signal).catch(() => undefined);
    return undefined;
  }
}

/**
 * Pushes out none of the others that are `wanted`, and nothing where that is not known; what its own tag stood for before
 * may go. Undefined at the end of `signal`.
 */
async function prepare(
  { images, attempts, log, now }: ImagePreparationOptions,
  { id, reference, credentials }: WantedImage,
  wanted: readonly WantedImage[] | null,
  signal: AbortSignal,
): Promise<ImageOutcome | undefined> {
  if (signal.aborted) return undefined;
  try {
    const others = wanted?.filter((image) => image.reference !== reference);
    const aheadOfTime = { spares: (stored: ImageName) => !others || attempts.mayBe(others, stored) };
    const { digest, release } = await images.resolve(reference, { credentials, signal, aheadOfTime });
    await release();
    log.info({ reference, digest }, 'An executor image is ready');
    return { digest };
  } catch (error) {
    if (signal.aborted) return undefined;
    log.warn({ err: error, reference }, 'An executor image could not be prepared');
    const failure = { problem: problemOf(error), failedAt: new Date(now()).toISOString() };
    await images.noteFailure({ reference, ...failure }).catch((failed: unknown) => {
      log.warn({ err: failed, reference }, 'It could not be kept that an executor image is not ready');
    });
    return { failure: { imageId: id, ...failure } };
  }
}

/** Some of its words are the registry's; the login that it has seen is hidden in them already. */
function problemOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return harmlessLine(message, maximumImageProblemCharacters);
}
