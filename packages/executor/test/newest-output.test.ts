import { maskPatterns, maximumLineCharacters } from '@slipway/core';
import { expect, test } from 'vitest';
import { NewestOutput } from '../src/log/newest-output.ts';
import { OutputLines } from '../src/log/output-lines.ts';

test('of a long line of which only the end is among the last ones, that is said to be a piece', () => {
  const newest = new NewestOutput();
  const stream = new OutputLines(maskPatterns([]), () => 7);
  const last = Array.from({ length: 99 }, (_, index) => ({ text: `${index}` }));
  const long = 'x'.repeat(maximumLineCharacters);
  newest.push(stream, Buffer.from(`${long}end\n${last.map(({ text }) => text).join('\n')}\n`));
  expect(newest.take()).toEqual({
    lines: [{ text: 'end', piece: { line: 7, isLast: true } }, ...last],
    leftOut: { lines: 1, bytes: maximumLineCharacters },
  });
});
