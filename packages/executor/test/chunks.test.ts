import { expect, test } from 'vitest';
import { addChunk, type Chunk } from '../src/log/chunks.ts';

test('of a stream that is written byte by byte there are few chunks; the newest ones stay as they came', () => {
  const text = Array.from({ length: 20_000 }, (_, index) => `${index} `).join('');
  const chunks: Chunk[] = [];
  for (const [number, character] of [...text].entries())
    addChunk(chunks, { number, bytes: Buffer.alloc(1, character) });
  expect(chunks.length).toBeLessThan(500);
  expect(Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()).toBe(text);
  const numbers = chunks.map(({ number }) => number);
  expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
  expect(numbers.slice(-256)).toEqual(Array.from({ length: 256 }, (_, index) => text.length - 256 + index));
});

test('chunks that are large stay as they came', () => {
  const chunks: Chunk[] = [];
  const large = Array.from({ length: 1_000 }, (_, number) => ({ number, bytes: Buffer.alloc(600) }));
  for (const chunk of large) addChunk(chunks, chunk);
  expect(chunks).toEqual(large);
});
