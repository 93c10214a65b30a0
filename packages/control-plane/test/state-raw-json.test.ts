import { expect, test } from 'vitest';
import { elementsOf, findValue } from '../src/stacks/raw-json.ts';
import { randomFrom, randomJson } from './random-json.ts';

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
