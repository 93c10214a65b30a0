import { isDeepStrictEqual } from 'node:util';
import type { ImageFailure, WantedImage } from '@slipway/core';

/** What failed may have been mended where the runner does not see it, such as in the registry. */
const againAfterMilliseconds = 5 * 60_000;
/** What a registry goes on refusing is asked for ever more rarely: it may count wrong passwords. */
const againAfterAtMostMilliseconds = 60 * 60_000;

interface Attempt {
  readonly image: WantedImage;
  /** Undefined when the image is ready. */
  readonly failure: ImageFailure | undefined;
  /** How often it has failed, one time after the other. */
  readonly failures: number;
  /** Milliseconds since 1970; infinite when it is not to be tried again. */
  readonly dueAt: number;
}

/** What came of the images that were tried to be made ready, and whose turn it is. */
export class ImageAttempts {
  readonly #attempts = new Map<string, Attempt>();

  /** New ones first, then those that are due for the longest time; undefined when there is none. `now`: milliseconds since 1970. */
  next(images: readonly WantedImage[], now: number): WantedImage | undefined {
    const dueAt = ({ id }: WantedImage) => this.#attempts.get(id)?.dueAt ?? Number.NEGATIVE_INFINITY;
    return images.filter((image) => dueAt(image) <= now).sort((a, b) => compare(dueAt(a), dueAt(b)))[0];
  }

  note(image: WantedImage, failure: ImageFailure | undefined): void {
    const failures = failure ? (this.#attempts.get(image.id)?.failures ?? 0) + 1 : 0;
    const dueAt = failure
      ? Date.parse(failure.failedAt) + pauseMilliseconds(failures)
      : Number.POSITIVE_INFINITY;
    this.#attempts.set(image.id, { image, failure, failures, dueAt });
  }

  /** A run has got it: what failed before is no longer so. */
  noteHad(reference: string, credentials: WantedImage['credentials']): void {
    for (const { image, failure } of this.#attempts.values()) {
      const isIt = image.reference === reference && isDeepStrictEqual(image.credentials, credentials);
      if (isIt && failure) this.note(image, undefined);
    }
  }

  /** Answers whether it had failed. */
  forget(id: string): boolean {
    const hadFailed = this.#attempts.get(id)?.failure !== undefined;
    this.#attempts.delete(id);
    return hadFailed;
  }

  failures(): ImageFailure[] {
    return [...this.#attempts.values()].flatMap(({ failure }) => failure ?? []);
  }
}

function pauseMilliseconds(failures: number): number {
  return Math.min(againAfterMilliseconds * 2 ** (failures - 1), againAfterAtMostMilliseconds);
}

/** Unlike a difference, also of what is infinite. */
function compare(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
