import { maskPatterns, maximumLineCharacters } from '@slipway/core';
import { expect, test } from 'vitest';
import { NewestOutput } from '../src/log/newest-output.ts';
import { OutputLines } from '../src/log/output-lines.ts';

const newOutput = () => ({ newest: new NewestOutput(), stream: new OutputLines(maskPatterns([])) });

test('the last lines do not begin with the end of a long one: it may be the end of a secret', () => {
  const { newest, stream } = newOutput();
  const last = Array.from({ length: 99 }, (_, index) => `${index}`);
  const long = 'x'.repeat(maximumLineCharacters);
  newest.push(stream, Buffer.from(`${long}end\n${last.join('\n')}\n`));
  expect(newest.take()).toEqual({
    lines: last,
    leftOut: { lines: 2, bytes: maximumLineCharacters + 3 },
  });
});
