import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alone } from './alone.ts';

test.each(alone)('among the test files that run alone, %s are there', (pattern) => {
  expect(globSync(pattern, { cwd: join(import.meta.dirname, '..') })).not.toEqual([]);
});
