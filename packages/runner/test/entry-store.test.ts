import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entryId } from '../src/dependency-cache/entry-identity.ts';
import { EntryStore, type EntryStoreOptions } from '../src/dependency-cache/entry-store.ts';
import { SmallDisk } from '../src/testing/small-disk.ts';

const day = 24 * 60 * 60 * 1000;
let folder: string;
let now: number;
const stores: EntryStore[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-entries-'));
  now = Date.now();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.settled();
  await rm(folder, { recursive: true, force: true });
});

const failed = (error: unknown) => {
  throw error;
};
async function openStore(options: Partial<EntryStoreOptions> = {}): Promise<EntryStore> {
  const store = await EntryStore.open({ folder, maximumBytes: 1e9, failed, now: () => now, ...options });
  stores.push(store);
  return store;
}
const named = (name: string) => ({ namespace: 'pool/project/1', scope: 'main', name });

async function keep(store: EntryStore, name: string, content: string | Buffer = name): Promise<boolean> {
  const file = await store.newFile();
  await writeFile(file, content);
  return store.keep(file, named(name));
}

async function contentOf(store: EntryStore, name: string): Promise<string | undefined> {
  const found = await store.find(named(name));
  return found && readFile(found.path, 'utf8');
}

test('an entry is found as soon as it is kept, by its whole identity alone', async () => {
  const store = await openStore();
  expect(await contentOf(store, 'npm-1')).toBeUndefined();
  expect(await keep(store, 'npm-1', 'packages')).toBe(true);
  expect(await contentOf(store, 'npm-1')).toBe('packages');
  for (const other of [{ namespace: 'pool/other/1' }, { scope: 'preview of x' }, { name: 'npm-2' }]) {
    expect(await store.find({ ...named('npm-1'), ...other })).toBeUndefined();
  }
});

test('parts of an identity cannot be shifted into each other', async () => {
  const store = await openStore();
  const file = await store.newFile();
  await store.keep(file, { namespace: 'a', scope: 'b","c', name: 'd' });
  expect(await store.find({ namespace: 'a', scope: 'b', name: 'c","d' })).toBeUndefined();
  expect(await store.find({ namespace: 'a","b', scope: 'c', name: 'd' })).toBeUndefined();
});

test('an identity is never a path', async () => {
  const store = await openStore();
  await store.keep(await store.newFile(), { namespace: '../..', scope: '/etc', name: '../../../tmp/x' });
  await store.settled();
  for (const name of await readdir(folder)) expect(name).toMatch(/^[0-9a-f]{64}\.(content|json)$/);
});

test('the first complete writer wins; later ones leave nothing behind', async () => {
  const store = await openStore();
  expect(await keep(store, 'npm-1', 'first')).toBe(true);
  expect(await keep(store, 'npm-1', 'second')).toBe(false);
  expect(await contentOf(store, 'npm-1')).toBe('first');
  await store.settled();
  expect(await readdir(folder)).toHaveLength(2);
});

test('an entry that is removed stays readable for whoever has opened it', async () => {
  const store = await openStore();
  await keep(store, 'npm-1', 'packages');
  const { path = '' } = (await store.find(named('npm-1'))) ?? {};
  await using opened = await open(path, 'r');
  await store.remove(named('npm-1'));
  expect(await store.find(named('npm-1'))).toBeUndefined();
  expect(await opened.readFile('utf8')).toBe('packages');
});

test('an entry outlives the runner; what was half-made when it crashed does not', async () => {
  const store = await openStore();
  await keep(store, 'npm-1', 'packages');
  await store.settled();
  // As a crash of the host leaves them: an entry that was not known to be on the disk, and a work file of a process
  // that is gone.
  await writeFile(join(folder, `${'0'.repeat(64)}.content`), 'perhaps zeros');
  await writeFile(join(folder, '4194304999-6f5902ac-237c-4f10-b1b5-8f1c0e4f1d5e.work'), 'half of it');
  const own = await store.newFile();
  const again = await openStore();
  expect(await contentOf(again, 'npm-1')).toBe('packages');
  expect((await readdir(folder)).filter((name) => name.startsWith('000') || name.endsWith('.work'))).toEqual([
    own.slice(folder.length + 1),
  ]);
});

test('an entry above the largest size is not kept; holes do not count', async () => {
  const store = await openStore({ maximumEntryBytes: 100_000 });
  expect(await keep(store, 'large', Buffer.alloc(200_000, 1))).toBe(false);
  expect(await store.find(named('large'))).toBeUndefined();
  const file = await store.newFile();
  await using sparse = await open(file, 'r+');
  await sparse.truncate(10_000_000_000);
  expect(await store.keep(file, named('sparse'))).toBe(true);
  await store.settled();
  expect(await readdir(folder)).toHaveLength(2);
});

test('the least recently read entries make room for new ones', async () => {
  const store = await openStore({ maximumBytes: 250_000 });
  const megabyte = Buffer.alloc(100_000, 1);
  for (const name of ['one', 'two']) {
    await keep(store, name, megabyte);
    await store.settled();
    now += 1000;
  }
  await store.find(named('one'));
  now += 1000;
  await keep(store, 'three', megabyte);
  await store.settled();
  const there = await Promise.all(['one', 'two', 'three'].map((name) => store.find(named(name))));
  expect(there.map((found) => found !== undefined)).toEqual([true, false, true]);
});

test('an entry that nobody has read for a month is dropped; reading it keeps it', async () => {
  const store = await openStore();
  await keep(store, 'read');
  await keep(store, 'unread');
  await store.settled();
  now += 20 * day;
  expect(await contentOf(store, 'read')).toBe('read');
  now += 20 * day;
  expect(await contentOf(store, 'read')).toBe('read');
  expect(await store.find(named('unread'))).toBeUndefined();
  await store.makeRoom();
  expect(await readdir(folder)).toHaveLength(2);
});

test('an entry that can be neither recorded nor removed is told of, and ends nothing', async () => {
  const failures: unknown[] = [];
  const store = await openStore({ failed: (error) => failures.push(error) });
  // Nothing can be written there, nor is it a file that could be removed.
  await mkdir(join(folder, `${entryId(named('npm-1'))}.json.new`));
  await keep(store, 'npm-1');
  await store.settled();
  expect(failures).toMatchObject([{ code: 'ERR_FS_EISDIR' }, { code: 'EISDIR' }]);
  expect(await store.find(named('npm-1'))).toBeUndefined();
});

test.runIf(process.getuid?.() === 0)(
  'an entry whose record finds the disk full is none, and can be kept once there is room',
  async () => {
    await using disk = await SmallDisk.mount(4);
    const failures: unknown[] = [];
    const store = await openStore({ folder: disk.path, failed: (error) => failures.push(error) });
    const file = await store.newFile();
    await writeFile(file, 'packages');
    await disk.fill();
    await store.keep(file, named('npm-1'));
    await store.settled();
    expect(failures).toEqual([expect.objectContaining({ code: 'ENOSPC' })]);
    await disk.free();
    expect(await readdir(disk.path)).toEqual([]);
    expect(await keep(store, 'npm-1', 'packages')).toBe(true);
    await store.settled();
    expect(await contentOf(store, 'npm-1')).toBe('packages');
  },
);
