import { describe, expect, test } from 'vitest';
import {
  heldText,
  maskPatterns,
  maskText,
  maskWith,
  maximumPatternLength,
  StreamMasker,
} from '../src/index.ts';
import { Random } from './random.ts';

function maskPieces(secrets: readonly string[], pieces: readonly string[]): string {
  const masker = new StreamMasker(maskPatterns(secrets));
  return pieces.map((piece) => masker.push(piece)).join('') + masker.end();
}

/** As `maskPieces`, with a new masker for each piece, which knows as JSON what the one before it holds back. */
function maskInCalls(secrets: readonly string[], pieces: readonly string[]): string {
  const patterns = maskPatterns(secrets);
  let masker = new StreamMasker(patterns);
  let masked = '';
  for (const piece of pieces) {
    masker = new StreamMasker(patterns, heldText.parse(JSON.parse(JSON.stringify(masker.held))));
    masked += masker.push(piece);
  }
  return masked + masker.end();
}

function mask(secrets: readonly string[], text: string): string {
  return maskWith(maskPatterns(secrets), text);
}

describe('a secret is hidden', () => {
  const secret = 'pa$$ w<o>rd/ü+"x"';

  test.each([
    ['as is', secret],
    ['percent-encoded', encodeURIComponent(secret)],
    ['form-encoded', new URLSearchParams({ a: secret }).toString().slice(2)],
    ['in JSON', JSON.stringify(secret).slice(1, -1)],
    ["in Go's JSON", 'pa$$ w\\u003co\\u003erd/ü+\\"x\\"'],
  ])('%s', (_form, printed) => {
    expect(mask([secret], `before ${printed} after`)).toBe(`before ${maskText} after`);
  });

  test.each([0, 1, 2, 3, 4])('as base64 behind %i other bytes', (offset) => {
    const encoded = Buffer.from(`${'.'.repeat(offset)}correct horse battery${'.'.repeat(5)}`).toString(
      'base64',
    );
    const masked = mask(['correct horse battery'], encoded);
    expect(masked).toContain(maskText);
    // 21 bytes are 28 characters: at most one on either side, shared with a neighbouring byte, stays.
    const hidden = encoded.length - masked.replace(maskText, '').length;
    expect(hidden).toBeGreaterThanOrEqual(27);
  });

  test('as base64url', () => {
    expect(mask(['???>>>???>>>'], Buffer.from('???>>>???>>>').toString('base64url'))).toBe(maskText);
  });

  test('as base64 in lines of 76 columns', () => {
    const long = 'k'.repeat(50) + '0123456789'.repeat(20);
    const lines =
      Buffer.from(long)
        .toString('base64')
        .match(/.{1,76}/g) ?? [];
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines.filter((text) => text.length >= 8)) expect(mask([long], line)).toBe(maskText);
  });

  test('line by line when it has several lines, as keys have', () => {
    const key = '-----BEGIN KEY-----\nabcdefgh\nijklmnop\n-----END KEY-----\n';
    expect(mask([key], 'x ijklmnop y')).toBe(`x ${maskText} y`);
    expect(mask([key], `[${key.trim()}]`)).toBe(`[${maskText}]`);
  });

  test('with both of two that overlap', () => {
    expect(mask(['abcdXYZ', 'XYZefgh'], '-abcdXYZefgh-')).toBe(`-${maskText}-`);
  });

  test('wholly when another secret is its beginning, and comes in two pieces', () => {
    expect(maskPieces(['abcd', 'abcdEFGH'], ['abcd', 'EFGH!'])).toBe(`${maskText}!`);
    expect(maskPieces(['abcd', 'abcdEFGH'], ['abcd', 'EF!'])).toBe(`${maskText}EF!`);
  });

  test('when it is longer than what a stream holds back', () => {
    const random = new Random(7);
    const long = random.text('abcdefghijklmnopqrstuvwxyz', 3 * maximumPatternLength + 5);
    const masked = maskPieces([long], random.pieces(`<${long}>`, 700));
    expect(masked).toMatch(/^<(\*\*\*)+>$/);
  });

  test('when it holds half of a surrogate pair', () => {
    expect(mask(['ab\ud800cd'], 'ab\ud800cd')).toBe(maskText);
  });
});

describe('other text', () => {
  test('is left as it is', () => {
    expect(mask(['secret-1'], 'secret-2 and nothing else')).toBe('secret-2 and nothing else');
  });

  test('is not blanked out by secrets of less than four characters', () => {
    expect(mask(['1', 'abc', ' ab '], '1 abc ab')).toBe('1 abc ab');
  });

  test('is held back only as long as it may become a secret', () => {
    const masker = new StreamMasker(maskPatterns(['secret-1']));
    expect(masker.push('a sec')).toBe('a ');
    expect(masker.push('ond\n')).toBe('second\n');
    expect(masker.push('secret-')).toBe('');
    expect(masker.end()).toBe('secret-');
  });
});

/** What masking means, without any cleverness: a character is hidden when some secret covers it. */
function hiddenCharacters(secrets: readonly string[], text: string): boolean[] {
  const hidden = Array.from(text, () => false);
  for (const secret of secrets) {
    for (let at = text.indexOf(secret); at >= 0; at = text.indexOf(secret, at + 1)) {
      hidden.fill(true, at, at + secret.length);
    }
  }
  return hidden;
}

describe('for any secrets, text and pieces: just what a secret covers is hidden, and pieces make no difference', () => {
  test.each([
    // A small alphabet, so that secrets repeat, overlap and begin like each other.
    ['where secrets are close', (random: Random) => random.text('aab-', random.below(60))],
    [
      'where secrets are far apart',
      (random: Random) =>
        Array.from(
          { length: 4 },
          () => '-'.repeat(random.below(90)) + random.text('ab', random.below(9)),
        ).join(''),
    ],
  ])('%s', (_where, textOf) => {
    const random = new Random(20_260_101);
    for (let round = 0; round < 3000; round += 1) {
      const secrets = Array.from({ length: 1 + random.below(4) }, () =>
        random.text('ab', 4 + random.below(4)),
      );
      const text = textOf(random);
      const pieces = random.pieces(text, 9 + random.below(50));
      const masked = maskPieces(secrets, pieces);
      expect(masked).toBe(mask(secrets, text));
      expect(maskInCalls(secrets, pieces)).toBe(masked);
      const visible = hiddenCharacters(secrets, text)
        .map((hidden, at) => (hidden ? '' : text.charAt(at)))
        .join('');
      expect(masked.replaceAll('*', ''), JSON.stringify({ secrets, text })).toBe(visible);
    }
  });
});

test('a megabyte of text with four hundred patterns takes less than a second', () => {
  const random = new Random(3);
  const secrets = Array.from({ length: 60 }, () => random.text('abcdefghijklmnop0123456789', 64));
  const text = random.text('abcdefghijklmnop \n', 1_000_000);
  const patterns = maskPatterns(secrets);
  const started = performance.now();
  expect(maskWith(patterns, text)).toHaveLength(text.length);
  expect(performance.now() - started).toBeLessThan(1000);
});

test('text without anything like a secret takes a quarter of the time of text that is made of secrets, at most', () => {
  const random = new Random(5);
  const secrets = Array.from({ length: 200 }, () => random.text('abcdefghijklmnop0123456789', 40));
  const patterns = maskPatterns(secrets);
  const ordinary = 'a line of a log, as programs write them\n'.repeat(25_000);
  const reference = secrets.join('').repeat(ordinary.length / secrets.join('').length);
  const referenceMilliseconds = shortestMilliseconds(() => maskWith(patterns, reference));
  expect(shortestMilliseconds(() => maskWith(patterns, ordinary)) / referenceMilliseconds).toBeLessThan(0.25);
});

/** The shortest time in which `work` was done, of several: what else the machine does makes times longer only. */
function shortestMilliseconds(work: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const started = performance.now();
    work();
    return performance.now() - started;
  });
  return Math.min(...times);
}

describe('a megabyte that is like many secrets takes no longer than one that is made of few', () => {
  const random = new Random(11);
  const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  const tokens = Array.from({ length: 5000 }, () => `ghp_${random.text(alphabet, 36)}`);
  /** Beginnings of tokens, of all lengths, one behind the other. */
  const nearlyTokens = Array.from({ length: 60_000 }, () => {
    const token = tokens[random.below(tokens.length)] ?? '';
    return token.slice(0, random.below(token.length));
  });

  test.each([
    ['tokens of one kind', tokens, nearlyTokens.join('')],
    [
      'one letter',
      Array.from({ length: 1000 }, (_, n) => 'a'.repeat(n + 4)),
      `${'a'.repeat(999)}b`.repeat(1000),
    ],
  ])('%s', (_kind, secrets, text) => {
    const fewSecrets = secrets.slice(0, 5);
    const madeOfFew = fewSecrets.join('').repeat(text.length / fewSecrets.join('').length);
    const [many, few] = [maskPatterns(secrets), maskPatterns(fewSecrets)];
    expect(madeOfFew.length).toBeGreaterThan(990_000);
    const reference = shortestMilliseconds(() => maskWith(few, madeOfFew));
    expect(shortestMilliseconds(() => maskWith(many, text)) / reference).toBeLessThan(8);
  });
});
