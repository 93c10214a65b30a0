import { maskPatterns } from '@slipway/core';
import { expect, test } from 'vitest';
import { leftOutOf } from '../src/log/left-out.ts';
import { OutputLines } from '../src/log/output-lines.ts';

const secret = Array.from({ length: 200 }, (_, index) => `canary${index}`).join('-');
const patterns = maskPatterns([secret]);

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
    const stream = new OutputLines(patterns);
    const lines = stream.push(text.subarray(0, gapStart));
    stream.skip(leftOutOf(text.subarray(gapStart, gapEnd)));
    // In pieces, as a stream has them.
    const middle = gapEnd + ((round * 31) % 3_000);
    lines.push(
      ...stream.push(text.subarray(gapEnd, middle)),
      ...stream.push(text.subarray(middle)),
      ...stream.end(),
    );
    expect(lines.filter((line) => !/^\d+ (\*+|is a line, ä)$/.test(line))).toEqual([]);
    expect(lines.length + stream.takeLeftOut().lines).toBe(count);
    expect(lines.at(-1)).toBe(`${count - 1} is a line, ä`);
  }
});

test('of a line that began in a gap nothing shows, however long it is', () => {
  const stream = new OutputLines(patterns);
  stream.skip({ lines: 3, bytes: 100 });
  expect(stream.push(Buffer.from('x'.repeat(200_000)))).toEqual([]);
  expect(stream.push(Buffer.from('end\nnext\n'))).toEqual(['next']);
  expect(stream.takeLeftOut()).toEqual({ lines: 4, bytes: 100 + 200_000 + 4 });
});
