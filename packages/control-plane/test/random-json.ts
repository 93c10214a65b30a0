/** A generator of numbers in [0, 1) that gives the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const texts = [
  '',
  'a',
  '"',
  '\\',
  '\\"',
  '}',
  ']',
  '{"a":1}',
  '\u0000',
  '\u2028',
  '😀',
  ':',
  ',',
  'deployment',
];

/** Any value, nested `depth` times at most. */
export function randomJson(random: () => number, depth: number): Json {
  const pick = Math.floor(random() * (depth > 0 ? 7 : 5));
  if (pick === 0) return null;
  if (pick === 1) return random() < 0.5;
  if (pick === 2) return Math.round(random() * 1e6) / 100 - 5000;
  if (pick < 5) return texts[Math.floor(random() * texts.length)] ?? '';
  const size = Math.floor(random() * 4);
  if (pick === 5) return Array.from({ length: size }, () => randomJson(random, depth - 1));
  return Object.fromEntries(
    Array.from({ length: size }, (_, index) => [
      `${texts[Math.floor(random() * texts.length)]}${index}`,
      randomJson(random, depth - 1),
    ]),
  );
}
