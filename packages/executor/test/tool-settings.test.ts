import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { namedValues } from '../src/cache/named-values.ts';
import { withToolSettings } from '../src/cache/tool-settings.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-tool-settings-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Where npm keeps its cache, as the settings of a project say. */
async function npmCache(): Promise<string | undefined> {
  const lockFile = { tool: 'npm', path: join(folder, 'package-lock.json') } as const;
  const runtime = { name: 'nodejs', options: {} };
  const project = { runtime, lockFile, lockText: '{}', projectDirectory: folder };
  const { NPM_CONFIG_CACHE } = await withToolSettings(project, folder, { HOME: join(folder, 'home') });
  return NPM_CONFIG_CACHE;
}

test('settings of a size that no folder has, or in files that no tool has, are left out', async () => {
  const path = join(folder, '.npmrc');
  const ofLength = (length: number, text = 'cache=/') => text.padEnd(length, 'c');
  await writeFile(path, ofLength('cache='.length + 1024));
  expect(await npmCache()).toHaveLength(1024);
  await writeFile(path, ofLength('cache='.length + 1025));
  expect(await npmCache()).toBeUndefined();
  await writeFile(path, ofLength(64 * 1024, 'cache=/c\n; '));
  expect(await npmCache()).toBe('/c');
  await writeFile(path, ofLength(64 * 1024 + 1, 'cache=/c\n; '));
  expect(await npmCache()).toBeUndefined();
  await rm(path);
  await symlink('/dev/zero', path);
  expect(await npmCache()).toBeUndefined();
});

test.each(['<!--', '<add ', '<add key="', '<a><!--', 'a ', '[', ' ', '"', `cache='`])(
  'a file of settings is read in one pass, even where it is a million times %j',
  (text) => {
    const start = performance.now();
    namedValues(text.repeat(1_000_000));
    // It takes a tenth of a second; what looks at all again for each would take hours.
    expect(performance.now() - start).toBeLessThan(10_000);
  },
);

test('comments hide what they hold, and only that', () => {
  const text =
    '<c><!-- <add key="a" value="1" /> --><add key="b" value="2" /><!-- --><add\nvalue="3" key=\'c\'/></c>';
  expect([...namedValues(text)]).toEqual([
    ['b', '2'],
    ['c', '3'],
  ]);
});
