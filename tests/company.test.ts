import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alone, onePerProcessor, takeMinutes } from './company.ts';

test.each([...alone, ...onePerProcessor, ...takeMinutes])(
  'among the test files with less company, or that begin first, %s are there',
  (pattern) => {
    expect(globSync(pattern, { cwd: join(import.meta.dirname, '..') })).not.toEqual([]);
  },
);
