/**
 * Hides secrets in text that comes in pieces. A secret is hidden also when it is split over two pieces, when it
 * overlaps with another, and in the forms in which programs print it: as is, URL-encoded, inside JSON, base64 (at
 * each of the three alignments, and broken into lines), and each line of a secret of several lines on its own.
 */

/** What stands in the place of a secret. */
export const maskText = '***';

/** Shorter secrets are not masked: they would blank out ordinary text (a secret `1`, say). */
export const minimumSecretLength = 4;

/** A longer text is looked for in pieces of this length, so that what a stream holds back stays bounded. */
export const maximumPatternLength = 1024;

/** Shorter pieces of base64 would blank out ordinary text. */
const minimumBase64Length = 8;

/** Columns after which `base64` and `openssl base64` break their lines. */
const base64LineLengths = [76, 64];

/** Every form in which `secrets` are looked for, ready for `maskWith` and `StreamMasker`. */
export function maskPatterns(secrets: readonly string[]): SecretPatterns {
  const patterns = new Set<string>();
  for (const secret of secrets) {
    for (const form of new Set([secret, ...secret.split(/\r?\n/)])) {
      const text = form.trim();
      if (text.length < minimumSecretLength) continue;
      for (const printed of [...textForms(text), ...base64Forms(text)]) {
        for (const piece of piecesOf(printed)) patterns.add(piece);
      }
    }
  }
  return new SecretPatterns(patterns);
}

/** How programs print a text: as is, in URLs (two dialects), in JSON (Go also escapes `<`, `>` and `&`). */
function textForms(text: string): string[] {
  const urlEncoded = encodeURIComponent(text.toWellFormed());
  const formEncoded = urlEncoded
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const json = JSON.stringify(text).slice(1, -1);
  const goJson = json.replace(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
  return [text, urlEncoded, formEncoded, json, goJson];
}

/** The characters of the base64 text that `text` alone decides, whatever stands around it, per alignment. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  const cores = [0, 1, 2].map((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    return padded.toString('base64').slice(Math.ceil((before * 8) / 6), Math.floor((padded.length * 8) / 6));
  });
  const whole = bytes.toString('base64');
  const lines = base64LineLengths
    .filter((length) => whole.length > length)
    .flatMap((length) => whole.match(new RegExp(`.{1,${length}}`, 'g')) ?? []);
  return [...cores, ...lines]
    .filter((form) => form.length >= minimumBase64Length)
    .flatMap((form) => [form, form.replaceAll('+', '-').replaceAll('/', '_')]);
}

/** `text` in pieces of at most `maximumPatternLength` that cover all of it; none of them is a short rest. */
function piecesOf(text: string): string[] {
  if (text.length <= maximumPatternLength) return [text];
  const pieces = [text.slice(-maximumPatternLength)];
  for (let start = 0; start + maximumPatternLength < text.length; start += maximumPatternLength) {
    pieces.push(text.slice(start, start + maximumPatternLength));
  }
  return pieces;
}

/** A stretch of a text, from `start` to before `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** The texts to be hidden, arranged so that one pass over a text finds all of them. Made by `maskPatterns`. */
export class SecretPatterns {
  /** Patterns by their first `minimumSecretLength` characters, longest first. */
  readonly #byBeginning = new Map<string, string[]>();
  /** Every beginning of a pattern that is too short for the map above. */
  readonly #shortBeginnings = new Set<string>();
  /** Whether any pattern begins with a character of this code (modulo the table's size): most do not. */
  readonly #firstCharacters = new Uint8Array(256);

  constructor(patterns: ReadonlySet<string>) {
    for (const pattern of [...patterns].sort((a, b) => b.length - a.length)) {
      const beginning = pattern.slice(0, minimumSecretLength);
      const sameBeginning = this.#byBeginning.get(beginning);
      if (sameBeginning) sameBeginning.push(pattern);
      else this.#byBeginning.set(beginning, [pattern]);
      for (let length = 1; length < minimumSecretLength; length += 1) {
        this.#shortBeginnings.add(pattern.slice(0, length));
      }
      this.#firstCharacters[pattern.charCodeAt(0) & 0xff] = 1;
    }
  }

  /**
   * Where `text` is secret (the longest pattern at each place, by ascending start), and the first place at which a
   * pattern begins whose end lies beyond the text: `text.length` when there is none. Nothing behind that is searched.
   */
  find(text: string): { spans: Span[]; undecided: number } {
    const spans: Span[] = [];
    for (let start = 0; start < text.length; start += 1) {
      if (this.#firstCharacters[text.charCodeAt(start) & 0xff] === 0) continue;
      if (text.length - start < minimumSecretLength) {
        if (this.#shortBeginnings.has(text.slice(start))) return { spans, undecided: start };
        continue;
      }
      let unfinished = false;
      for (const pattern of this.#byBeginning.get(text.slice(start, start + minimumSecretLength)) ?? []) {
        if (start + pattern.length > text.length) {
          unfinished ||= pattern.startsWith(text.slice(start));
        } else if (text.startsWith(pattern, start)) {
          spans.push({ start, end: start + pattern.length });
          break;
        }
      }
      if (unfinished) return { spans, undecided: start };
    }
    return { spans, undecided: text.length };
  }
}

/** `text` with every secret replaced by `maskText`; what overlaps is hidden as one. */
export function maskWith(patterns: SecretPatterns, text: string): string {
  const masker = new StreamMasker(patterns);
  return masker.push(text) + masker.end();
}

/**
 * Masks a stream. `push` answers what can no longer be part of a secret that goes on in a later piece; `end` answers
 * the rest. Holds back less than `maximumPatternLength` characters.
 */
export class StreamMasker {
  readonly #patterns: SecretPatterns;
  #held = '';
  /** So many characters of `#held` belong to a secret whose mask was answered already. */
  #hidden = 0;

  constructor(patterns: SecretPatterns) {
    this.#patterns = patterns;
  }

  push(piece: string): string {
    const text = this.#held + piece;
    const { spans, undecided } = this.#patterns.find(text);
    return this.#answer(text, spans, undecided);
  }

  end(): string {
    // No more can come: each place that was undecided is decided now, one after the other.
    let answer = '';
    while (this.#held !== '') {
      const { spans, undecided } = this.#patterns.find(this.#held);
      answer += this.#answer(this.#held, spans, Math.max(undecided, 1));
    }
    return answer;
  }

  /** `text` up to `until`, masked; the rest is held back. */
  #answer(text: string, spans: readonly Span[], until: number): string {
    let answer = '';
    let position = this.#hidden;
    for (const { start, end } of spans) {
      if (start >= position) answer += text.slice(position, start) + maskText;
      position = Math.max(position, end);
    }
    if (position < until) {
      answer += text.slice(position, until);
      position = until;
    }
    this.#held = text.slice(until);
    this.#hidden = position - until;
    return answer;
  }
}
