import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alone, onePerProcessor } from './company.ts';

test.each([...alone, ...onePerProcessor])(
  'among the test files with less company, %s are there',
  (pattern) => {
    expect(globSync(pattern, { cwd: join(import.meta.dirname, '..') })).not.toEqual([]);
  },
);
