import { isDeepStrictEqual } from 'node:util';
import type { ImageFailure, WantedImage } from '@slipway/core';
import type { ImageName } from './images/image-store.ts';

/** What failed may have been mended where the runner does not see it, such as in the registry. */
const againAfterMilliseconds = 5 * 60_000;
/** What a registry goes on refusing is asked for ever more rarely: it may count wrong passwords. */
const againAfterAtMostMilliseconds = 60 * 60_000;

/** What came of making an image ready. */
export type ImageOutcome = { readonly digest: string } | { readonly failure: ImageFailure };

interface Attempt {
  readonly image: WantedImage;
  readonly outcome: ImageOutcome;
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

  note(image: WantedImage, outcome: ImageOutcome): void {
    const hasFailed = 'failure' in outcome;
    const failures = hasFailed ? (this.#attempts.get(image.id)?.failures ?? 0) + 1 : 0;
    const dueAt = hasFailed
      ? Date.parse(outcome.failure.failedAt) + pauseMilliseconds(failures)
      : Number.POSITIVE_INFINITY;
    this.#attempts.set(image.id, { image, outcome, failures, dueAt });
  }

  /** A run has got it: what failed before is no longer so, and what its tag stood for is outdated. */
  noteHad(reference: string, credentials: WantedImage['credentials'], digest: string): void {
    for (const { image } of this.#attempts.values()) {
      const isIt = image.reference === reference && isDeepStrictEqual(image.credentials, credentials);
      if (isIt) this.note(image, { digest });
    }
  }

  /** Whether what is stored may be one of `images`: by the digest, or the reference of those that were not had yet. */
  mayBe(images: readonly WantedImage[], { reference, digest }: ImageName): boolean {
    return images.some((image) => {
      const outcome = this.#attempts.get(image.id)?.outcome;
      return outcome && 'digest' in outcome ? outcome.digest === digest : image.reference === reference;
    });
  }

  /** Answers whether it had failed. */
  forget(id: string): boolean {
    const hadFailed = failureOf(this.#attempts.get(id)) !== undefined;
    this.#attempts.delete(id);
    return hadFailed;
  }

  failures(): ImageFailure[] {
    return [...this.#attempts.values()].flatMap((attempt) => failureOf(attempt) ?? []);
  }
}

function failureOf(attempt: Attempt | undefined): ImageFailure | undefined {
  return attempt && 'failure' in attempt.outcome ? attempt.outcome.failure : undefined;
}

function pauseMilliseconds(failures: number): number {
  return Math.min(againAfterMilliseconds * 2 ** (failures - 1), againAfterAtMostMilliseconds);
}

/** Unlike a difference, also of what is infinite. */
function compare(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
