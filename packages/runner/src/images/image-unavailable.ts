import type { Cause } from '@slipway/core';

/** An executor image cannot be used. The message names the image, what is wrong with it and what to do. */
export class ImageUnavailableError extends Error {
  override readonly name = 'ImageUnavailableError';
  readonly runCause: Cause = 'image-unavailable';
  readonly reference: string;

  constructor(reference: string, problem: string, options?: ErrorOptions) {
    super(`Executor image "${reference}": ${problem}`, options);
    this.reference = reference;
  }
}
