import { expect, test } from 'vitest';
import { elementsOf, findValue, mapStrings } from '../src/stacks/raw-json.ts';

/** A generator of numbers in [0, 1) that gives the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

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

function randomJson(random: () => number, depth: number): Json {
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

const valueAt = (text: string, path: readonly string[]): unknown => {
  const span = findValue(text, path);
  return span && JSON.parse(text.slice(span.start, span.end));
};

test('every member of a thousand documents is found where it stands, however it is laid out', () => {
  for (let seed = 0; seed < 1000; seed += 1) {
    const random = randomFrom(seed);
    const document = { first: randomJson(random, 4), second: randomJson(random, 4), third: { inner: 1 } };
    for (const text of [JSON.stringify(document), JSON.stringify(document, undefined, '\t ')]) {
      expect(valueAt(text, ['first'])).toEqual(document.first);
      expect(valueAt(text, ['second'])).toEqual(document.second);
      expect(valueAt(text, ['third', 'inner'])).toBe(1);
      expect(valueAt(text, ['third', 'missing'])).toBeUndefined();
      expect(valueAt(text, ['missing'])).toBeUndefined();
    }
  }
});

test('the elements of an array are answered to the letter', () => {
  const text = ' { "events" : [ {"n":12345678901234567890} , 1e400,"a,]" ,[ ] ] , "x": [1]}';
  expect(elementsOf(text, ['events'])).toEqual(['{"n":12345678901234567890}', '1e400', '"a,]"', '[ ]']);
  expect(elementsOf('{"events":[ ]}', ['events'])).toEqual([]);
  expect(elementsOf('{"events":null}', ['events'])).toEqual([]);
});

test('strings are changed as they are meant, escapes and names included, and nothing else is', () => {
  const text = '{ "na\\u006de":"say \\"secret\\"", "n": 1.0, "secret":["\\/x","secret"] }';
  expect(mapStrings(text, (value) => value.replaceAll('secret', '"***"'))).toBe(
    '{ "na\\u006de":"say \\"\\"***\\"\\"", "n": 1.0, "\\"***\\"":["\\/x","\\"***\\""] }',
  );
  for (let seed = 0; seed < 200; seed += 1) {
    const text = JSON.stringify(randomJson(randomFrom(seed), 4));
    expect(mapStrings(text, (value) => value)).toBe(text);
  }
});

test('a document of 20 MB takes less than a second', () => {
  const text = JSON.stringify({
    deployment: { resources: Array.from({ length: 20_000 }, (_, n) => ({ n, text: '\\"{['.repeat(180) })) },
    last: 1,
  });
  expect(text.length).toBeGreaterThan(20e6);
  const start = performance.now();
  expect(valueAt(text, ['last'])).toBe(1);
  expect(performance.now() - start).toBeLessThan(1000);
});
