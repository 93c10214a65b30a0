import { formsOfSecret, maskPatterns, minimumSecretLength, type SecretPatterns } from '@slipway/core';

/**
 * What the secrets of a run may be at most, beside those of its job: to find them takes 14 bytes a character of the
 * forms in which they may be printed, and most secrets have five such characters for each of their own.
 */
export const maximumSecrets = 10_000;
export const maximumFormCharacters = 2 * 1024 * 1024;

/** The secrets of one run that this process knows of. */
export class KnownSecrets {
  readonly #texts = new Set<string>();
  #formCharacters = 0;
  #patterns: SecretPatterns | undefined;
  /** Number of the newest row that they were read from. */
  lastNumber = 0;
  /** Whether there were more than are kept. */
  areCut = false;

  get formCharacters(): number {
    return this.#formCharacters;
  }

  /** Ready to be looked for. */
  get patterns(): SecretPatterns {
    this.#patterns ??= maskPatterns(this.#texts);
    return this.#patterns;
  }

  add(number: number, texts: readonly string[]): void {
    this.lastNumber = Math.max(this.lastNumber, number);
    for (const text of texts) {
      if (this.#texts.has(text)) continue;
      this.#texts.add(text);
      this.#formCharacters += formCharactersOf(text);
      this.#patterns = undefined;
    }
  }

  /** Those of `texts` that are new and long enough to be looked for. */
  unknownOf(texts: Iterable<string>): string[] {
    return [...new Set(texts)].filter(
      (text) => !this.#texts.has(text) && text.trim().length >= minimumSecretLength,
    );
  }

  /** As many of `texts`, the first ones, as there is room for. */
  fitting(texts: readonly string[]): string[] {
    let room = maximumFormCharacters - this.#formCharacters;
    const fitting = texts.slice(0, Math.max(maximumSecrets - this.#texts.size, 0));
    const end = fitting.findIndex((text) => {
      room -= formCharactersOf(text);
      return room < 0;
    });
    return end < 0 ? fitting : fitting.slice(0, end);
  }
}

function formCharactersOf(text: string): number {
  let characters = 0;
  for (const form of formsOfSecret(text)) characters += form.length;
  return characters;
}
