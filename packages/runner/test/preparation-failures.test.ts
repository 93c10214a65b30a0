import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PreparationFailures } from '../src/images/preparation-failures.ts';
import { StoreFolder } from '../src/images/store-folder.ts';

let cacheDirectory: string;
let folder: string;
let failures: PreparationFailures;
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'slipway-failures-'));
  const store = new StoreFolder(cacheDirectory);
  folder = store.failures;
  failures = new PreparationFailures(store);
});
afterEach(() => rm(cacheDirectory, { recursive: true }));

const failedAt = '2026-01-02T03:04:05.000Z';
const failure = (reference: string, problem = 'the registry does not have it') => ({
  ...{ reference, problem, failedAt },
});

test('of one reference the last failure is known, until the image is had', async () => {
  await failures.note(failure('a.test/x:1', 'first'));
  await failures.note({ ...failure('b.test/x:1'), failedAt: '2026-01-03T00:00:00.000Z' });
  await failures.note(failure('a.test/x:1', 'second'));
  expect((await failures.list()).map(({ reference, problem }) => `${reference} ${problem}`)).toEqual([
    'b.test/x:1 the registry does not have it',
    'a.test/x:1 second',
  ]);
  await failures.clear('b.test/x:1');
  await failures.clear('never.test/x:1');
  expect(await failures.list()).toEqual([failure('a.test/x:1', 'second')]);
});

test('whatever a reference is, its record lies in the folder of the records, and is harmless and small', async () => {
  const references = [
    '../../../escaped',
    '/etc/passwd',
    'a\0b',
    'x'.repeat(100_000),
    '\u001b]0;owned\u0007\r\nb',
  ];
  for (const reference of references)
    await failures.note(failure(reference, `\u001b[2J\n${'\u0001'.repeat(100_000)}`));
  const names = await readdir(folder);
  expect(names).toHaveLength(references.length);
  for (const name of names) {
    expect(name).toMatch(/^[0-9a-f]{64}\.json$/);
    expect((await stat(join(folder, name))).size).toBeLessThan(16 * 1024);
  }
  expect(await readdir(cacheDirectory)).toEqual(['images']);
  const listed = await failures.list();
  expect(listed).toHaveLength(references.length);
  for (const { reference, problem } of listed) {
    expect(reference.length).toBeLessThanOrEqual(512);
    expect(problem.length).toBeLessThanOrEqual(1000);
    expect(`${reference}${problem}`).toMatch(/^\P{Control}*$/u);
  }
});

test('a hundred failures are kept, the last ones', async () => {
  const seen = new Set<string>();
  for (let index = 0; index < 100; index += 1) {
    await failures.note(failure(`a.test/x:${index}`));
    const [newest = ''] = (await readdir(folder)).filter((name) => !seen.has(name));
    seen.add(newest);
    await utimes(join(folder, newest), index + 1, index + 1);
  }
  // What a process left that was killed in the middle of writing.
  await writeFile(join(folder, 'half-written'), '{');
  await utimes(join(folder, 'half-written'), 0, 0);
  await failures.note(failure('a.test/new:1'));
  const kept = (await failures.list()).map(({ reference }) => reference);
  expect(kept).toHaveLength(100);
  expect(kept).toContain('a.test/new:1');
  expect(kept).not.toContain('a.test/x:0');
  expect(await readdir(folder)).toHaveLength(100);
});

test('what is no record is none', async () => {
  await failures.note(failure('a.test/x:1'));
  const name = (digit: string) => join(folder, `${digit.repeat(64)}.json`);
  await writeFile(name('0'), 'no JSON');
  await writeFile(name('1'), '{"reference":1}');
  await writeFile(name('2'), JSON.stringify(failure('b.test/x:1', 'x'.repeat(1 << 20))));
  expect(await failures.list()).toEqual([failure('a.test/x:1')]);
});
