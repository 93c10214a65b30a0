import { maskPatterns, maximumLineCharacters } from '@slipway/core';
import { expect, test } from 'vitest';
import { leftOutOf } from '../src/log/left-out.ts';
import type { Line } from '../src/log/line-splitter.ts';
import { OutputLines } from '../src/log/output-lines.ts';

const secret = Array.from({ length: 200 }, (_, index) => `canary${index}`).join('-');
const patterns = maskPatterns([secret]);
const newStream = () => {
  let longLines = 0;
  return new OutputLines(patterns, () => {
    longLines += 1;
    return longLines;
  });
};
const textsOf = (lines: readonly Line[]) => lines.map(({ text }) => text);

function textOf(lines: number): Buffer {
  const texts = Array.from(
    { length: lines },
    (_, index) => `${index} ${index % 5 === 0 ? secret : 'is a line, ä'}\n`,
  );
  return Buffer.from(texts.join(''));
}

test('wherever a gap begins and ends, no part of a secret shows, and every line is there or counted', () => {
  const count = 60;
  const text = textOf(count);
  for (let round = 0; round < 400; round += 1) {
    const gapStart = (round * 7919) % Math.floor(text.length / 2);
    const gapEnd = gapStart + 1 + ((round * 104_729) % Math.floor(text.length / 4));
    const stream = newStream();
    const lines = textsOf(stream.push(text.subarray(0, gapStart)));
    stream.skip(leftOutOf(text.subarray(gapStart, gapEnd)));
    // In pieces, as a stream has them.
    const middle = gapEnd + ((round * 31) % 3_000);
    const behind = [
      stream.push(text.subarray(gapEnd, middle)),
      stream.push(text.subarray(middle)),
      stream.end(),
    ];
    lines.push(...textsOf(behind.flat()));
    expect(lines.filter((line) => !/^\d+ (\*+|is a line, ä)$/.test(line))).toEqual([]);
    expect(lines.length + stream.takeLeftOut().lines).toBe(count);
    expect(lines.at(-1)).toBe(`${count - 1} is a line, ä`);
  }
});

test('of a line that began in a gap nothing shows, however long it is', () => {
  const stream = newStream();
  stream.skip({ lines: 3, bytes: 100 });
  expect(stream.push(Buffer.from('x'.repeat(200_000)))).toEqual([]);
  expect(stream.push(Buffer.from('end\nnext\n'))).toEqual([{ text: 'next' }]);
  expect(stream.takeLeftOut()).toEqual({ lines: 4, bytes: 100 + 200_000 + 4 });
});

test('of the pieces of a line each says of which it is one, and the last one that it is; other lines say nothing', () => {
  const stream = newStream();
  const piece = '.'.repeat(maximumLineCharacters);
  const lines = [`${piece}\n`, `${piece},`, `${piece}\nshort\n`, `${piece}\r\n${piece},`];
  const pushed = lines.map((text) => stream.push(Buffer.from(text)));
  expect([...pushed, stream.end()]).toEqual([
    [{ text: piece }],
    [{ text: piece, piece: { line: 1, isLast: false } }],
    [
      { text: `,${piece.slice(1)}`, piece: { line: 1, isLast: false } },
      { text: '.', piece: { line: 1, isLast: true } },
      { text: 'short' },
    ],
    [{ text: piece }, { text: piece, piece: { line: 2, isLast: false } }],
    [{ text: ',', piece: { line: 2, isLast: true } }],
  ]);
});

test('behind a gap no line goes on with one from before it', () => {
  const stream = newStream();
  const long = 'x'.repeat(maximumLineCharacters + 1);
  const piecesOf = (lines: readonly Line[]) => lines.map(({ piece }) => piece?.line);
  expect(piecesOf(stream.push(Buffer.from(long)))).toEqual([1]);
  stream.skip({ lines: 0, bytes: 1 });
  expect(piecesOf(stream.push(Buffer.from(`${long}\nnext\n${long}`)))).toEqual([undefined, 2]);
});
