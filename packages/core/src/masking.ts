/**
 * Hides secrets in text that comes in pieces. A secret is hidden also when it is split over two pieces, and in the
 * forms in which programs print it: as is, URL-encoded, inside JSON, base64 (at each of the three alignments), and each line of
 * a secret of several lines on its own.
 */

/** What stands in the place of a secret. */
export const maskText = '***';

/** Shorter secrets are not masked: they would blank out ordinary text (a secret `1`, say). */
export const minimumSecretLength = 4;

/** Every form in which `secrets` are looked for, longest first. */
export function maskPatterns(secrets: readonly string[]): string[] {
  const patterns = new Set<string>();
  const add = (text: string) => {
    if (text.length >= minimumSecretLength) patterns.add(text);
  };
  for (const secret of secrets) {
    if (secret.length < minimumSecretLength) continue;
    for (const form of [secret, ...secret.split(/\r?\n/)]) {
      const trimmed = form.trim();
      add(trimmed);
      if (trimmed.length < minimumSecretLength) continue;
      add(encodeURIComponent(trimmed));
      add(JSON.stringify(trimmed).slice(1, -1));
      for (const aligned of base64Cores(trimmed)) if (aligned.length >= 8) add(aligned);
    }
  }
  return [...patterns].sort((a, b) => b.length - a.length);
}

/** The part of the base64 text that is the same whatever stands before and after the secret, per alignment. */
function base64Cores(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  return [0, 1, 2].map((offset) => {
    const start = offset === 0 ? 0 : 3 - offset;
    const usable = bytes.subarray(start, bytes.length - ((bytes.length - start) % 3));
    return usable.toString('base64');
  });
}

/** `text` with every pattern replaced by `maskText`. */
export function maskWith(patterns: readonly string[], text: string): string {
  let masked = text;
  for (const pattern of patterns) masked = masked.replaceAll(pattern, maskText);
  return masked;
}

/**
 * Masks a stream. `push` answers what can no longer be part of a secret that goes on in a later piece; `end` answers
 * the rest. Holds back at most the length of the longest secret.
 */
export class StreamMasker {
  readonly #patterns: readonly string[];
  #held = '';

  constructor(secrets: readonly string[]) {
    this.#patterns = maskPatterns(secrets);
  }

  push(piece: string): string {
    const text = maskWith(this.#patterns, this.#held + piece);
    const keep = this.#longestUnfinished(text);
    this.#held = text.slice(text.length - keep);
    return text.slice(0, text.length - keep);
  }

  end(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest end of `text` that is the beginning of a secret. */
  #longestUnfinished(text: string): number {
    let longest = 0;
    for (const pattern of this.#patterns) {
      for (let length = Math.min(pattern.length - 1, text.length); length > longest; length -= 1) {
        if (text.endsWith(pattern.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
