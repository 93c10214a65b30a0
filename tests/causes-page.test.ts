import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { causes } from '@slipway/core';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs', 'causes.md'), 'utf8');

/** The rows of the first table: cause, what it means, what to do, tests. */
const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.*) \| (.*) \| (.*) \|$/gm)].map(
  ([, cause, sentence, remedy, tests = '']) => ({
    ...{ cause, sentence, remedy },
    tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  }),
);

test('docs/causes.md lists every cause, with the sentence and the next step that users read', () => {
  const told = rows.map(({ cause, sentence, remedy }) => ({ cause, sentence, remedy }));
  expect(told).toEqual(Object.entries(causes).map(([cause, words]) => ({ cause, ...words })));
});

test.each(rows)('$cause is caused by a test that expects it', ({ cause, tests }) => {
  expect(tests).not.toEqual([]);
  for (const file of tests) expect(readFileSync(join(root, file), 'utf8'), file).toContain(`'${cause}'`);
});
