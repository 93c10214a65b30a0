import * as z from 'zod';
import { formsOfSecret } from './secret-forms.ts';
import { TextSearch } from './text-search.ts';

/**
 * Hides secrets in text that comes in pieces. A secret is hidden also when it is split over two pieces, when it
 * overlaps with another, and in the forms in which programs print it: as is, URL-encoded, inside JSON, base64 (at
 * each of the three alignments, and broken into lines), and each line of a secret of several lines on its own.
 */

/** What stands in the place of a secret. */
export const maskText = '***';

/** What stands in the place of what may be the beginning of a secret, where nobody knows how it would have gone on. */
export const cutText = '[…]';

/** The texts to be hidden, arranged for `maskWith` and `StreamMasker`. */
export type SecretPatterns = TextSearch;

/** Every form in which `secrets` are looked for. */
export function maskPatterns(secrets: Iterable<string>): SecretPatterns {
  const forms = new Set<string>();
  for (const secret of secrets) for (const form of formsOfSecret(secret)) forms.add(form);
  return new TextSearch(forms);
}

/** `text` with every secret replaced by `maskText`; what overlaps is hidden as one. */
export function maskWith(patterns: SecretPatterns, text: string): string {
  const masker = new StreamMasker(patterns);
  return masker.push(text) + masker.end();
}

/** A stretch of the text that is held back, from `start` to before `end`, which secrets cover without a gap. */
const spanSchema = z.object({
  start: z.number(),
  end: z.number(),
  /** Whether its mask was answered already. */
  isAnswered: z.boolean(),
});
type Span = Readonly<z.infer<typeof spanSchema>>;

/** What a masker holds back: as it came, and what is secret of it, by ascending start. */
export const heldText = z.object({ text: z.string(), spans: z.array(spanSchema) });
export type HeldText = Readonly<z.infer<typeof heldText>>;

/**
 * Characters. After a shorter jump as many are looked at one by one: where everything is like the beginning of some secret,
 * looking for the next one costs more than it saves.
 */
const worthwhileJump = 16;

/**
 * Masks a stream. `push` answers what can no longer be part of a secret that goes on in a later piece; `end` answers
 * the rest. Holds back less than `maximumPatternLength` characters.
 */
export class StreamMasker {
  readonly #patterns: SecretPatterns;
  #place = TextSearch.start;
  #held: string;
  /** What is secret of the text that is held back, by ascending start. */
  #spans: Span[];

  /** Goes on where another one, whose `held` is given, has stopped. */
  constructor(patterns: SecretPatterns, { text, spans }: HeldText = { text: '', spans: [] }) {
    this.#patterns = patterns;
    this.#held = text;
    this.#spans = [...spans];
    for (let at = 0; at < text.length; at += 1) this.#place = patterns.next(this.#place, text.charCodeAt(at));
  }

  push(piece: string): string {
    const text = this.#held + piece;
    let jumpFrom = 0;
    for (let at = this.#held.length; at < text.length; at += 1) {
      if (this.#place === TextSearch.start && at >= jumpFrom) {
        const next = this.#patterns.nextBeginning(text, at);
        if (next - at < worthwhileJump) jumpFrom = next + worthwhileJump;
        at = next;
        if (at === text.length) break;
      }
      this.#place = this.#patterns.next(this.#place, text.charCodeAt(at));
      const length = this.#patterns.endingLength(this.#place);
      if (length > 0) this.#hide(at + 1 - length, at + 1);
    }
    return this.#answer(text, text.length - this.#patterns.openLength(this.#place));
  }

  /** It may be the beginning of a secret. */
  get held(): HeldText {
    return { text: this.#held, spans: this.#spans };
  }

  end(): string {
    this.#place = TextSearch.start;
    return this.#answer(this.#held, this.#held.length);
  }

  /** The text was cut here: answers in the place of what is held back. */
  cut(): string {
    const isHeld = this.#held !== '';
    this.end();
    return isHeld ? cutText : '';
  }

  /** Adds a secret that ends behind all others, as one with those that it overlaps. */
  #hide(start: number, end: number): void {
    let span: Span = { start, end, isAnswered: false };
    for (let last = this.#spans.at(-1); last && last.end > span.start; last = this.#spans.at(-1)) {
      span = { start: Math.min(last.start, span.start), end, isAnswered: last.isAnswered };
      this.#spans.pop();
    }
    this.#spans.push(span);
  }

  /** `text` up to `until`, masked; the rest is held back. */
  #answer(text: string, until: number): string {
    let answer = '';
    let position = 0;
    const left: Span[] = [];
    for (const { start, end, isAnswered } of this.#spans) {
      const isBegun = start <= until;
      if (isBegun) {
        if (!isAnswered) answer += text.slice(position, start) + maskText;
        position = end;
      }
      if (end > until) left.push({ start: start - until, end: end - until, isAnswered: isBegun });
    }
    if (position < until) answer += text.slice(position, until);
    this.#held = text.slice(until);
    this.#spans = left;
    return answer;
  }
}
