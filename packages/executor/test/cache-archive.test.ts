import { randomBytes } from 'node:crypto';
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { Header } from 'tar';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { moveIntoPlace, packFolders, unpackArchive } from '../src/cache/archive.ts';
import { temporaryDirectory } from './testing/executor-process.ts';

let temporary: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  temporary = await temporaryDirectory();
});
afterAll(() => temporary[Symbol.asyncDispose]());

const never = new AbortController().signal;
let folders = 0;

/** An empty folder. */
async function folder(): Promise<string> {
  folders += 1;
  const path = join(temporary.path, `folder-${folders}`);
  await mkdir(path);
  return path;
}

async function pack(...paths: string[]): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of packFolders(paths, never)) pieces.push(piece);
  return pieces;
}

async function* given(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

async function unpack(pieces: readonly Buffer[], paths: readonly string[]): Promise<void> {
  const staging = join(await folder(), 'staging');
  await unpackArchive(given(pieces), paths, staging, never);
  await moveIntoPlace(paths, staging);
}

/** Folders as installers leave them. */
async function installed(): Promise<{ modules: string; store: string }> {
  const top = await folder();
  const modules = join(top, 'node_modules');
  const store = join(top, 'home', '.npm');
  await mkdir(join(modules, '.bin'), { recursive: true });
  await mkdir(join(modules, 'package'), { recursive: true });
  await mkdir(store, { recursive: true });
  await writeFile(join(modules, 'package', 'index.js'), 'module.exports = 1;\n');
  await chmod(join(modules, 'package', 'index.js'), 0o755);
  await symlink('../package/index.js', join(modules, '.bin', 'package'));
  await symlink('/usr/bin/python3', join(modules, '.bin', 'python'));
  await link(join(modules, 'package', 'index.js'), join(modules, 'package', 'same.js'));
  await writeFile(join(store, 'large'), randomBytes(3_000_000));
  await writeFile(join(modules, `a-name-${'x'.repeat(150)}`), 'long');
  return { modules, store };
}

test('what was packed comes back: contents, modes, links of both kinds, at the same paths', async () => {
  const { modules, store } = await installed();
  const large = await readFile(join(store, 'large'));
  const pieces = await pack(modules, store);
  expect(pieces.length).toBeGreaterThan(4);
  await rmAll(modules, store);
  await unpack(pieces, [modules, store]);
  expect(large.equals(await readFile(join(store, 'large')))).toBe(true);
  expect((await stat(join(modules, 'package', 'index.js'))).mode & 0o777).toBe(0o755);
  expect(await readlink(join(modules, '.bin', 'python'))).toBe('/usr/bin/python3');
  expect(await readFile(join(modules, '.bin', 'package'), 'utf8')).toBe('module.exports = 1;\n');
  const [one, other] = await Promise.all(
    ['index.js', 'same.js'].map((name) => stat(join(modules, 'package', name))),
  );
  expect(one?.ino).toBe(other?.ino);
  expect(await readFile(join(modules, `a-name-${'x'.repeat(150)}`), 'utf8')).toBe('long');
});

test('a folder that was not packed need not have a place', async () => {
  const { modules, store } = await installed();
  const pieces = await pack(modules);
  await rmAll(modules, store);
  await unpack(pieces, [modules, '/etc/hostname/of-others/cache']);
  expect(await readFile(join(modules, 'package', 'index.js'), 'utf8')).toBe('module.exports = 1;\n');
});

test('what is there already stays, and the rest is added', async () => {
  const { modules, store } = await installed();
  const pieces = await pack(modules, store);
  await rmAll(modules, store);
  await mkdir(join(modules, 'package'), { recursive: true });
  await writeFile(join(modules, 'package', 'index.js'), 'of the image\n');
  await unpack(pieces, [modules, store]);
  expect(await readFile(join(modules, 'package', 'index.js'), 'utf8')).toBe('of the image\n');
  expect(await readFile(join(modules, 'package', 'same.js'), 'utf8')).toBe('module.exports = 1;\n');
  expect((await stat(join(store, 'large'))).size).toBe(3_000_000);
});

test.each([
  ['that is cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
  ['with changed bytes', (bytes: Buffer) => bytes.fill(7, bytes.length >> 1, (bytes.length >> 1) + 64)],
  ['that is none', () => Buffer.from('no archive')],
])('an archive %s is refused, and nothing of it gets to its place', async (_name, damage) => {
  const { modules, store } = await installed();
  const bytes = Buffer.concat(await pack(modules, store));
  await rmAll(modules, store);
  await expect(unpack([damage(bytes)], [modules, store])).rejects.toThrow();
  expect(await lstat(modules).catch(() => 'absent')).toBe('absent');
});

describe('an archive of an attacker writes nothing outside of its folders', () => {
  interface Entry {
    readonly path: string;
    readonly type?:
      | 'File'
      | 'Directory'
      | 'SymbolicLink'
      | 'Link'
      | 'BlockDevice'
      | 'CharacterDevice'
      | 'FIFO';
    readonly linkpath?: string;
    readonly devmaj?: number;
    readonly devmin?: number;
  }

  /** An archive made byte by byte: no packing program would make it. */
  function archive(...entries: Entry[]): Buffer {
    const blocks = entries.flatMap((entry) => {
      const content = Buffer.from(entry.type === 'File' || entry.type === undefined ? 'poison' : '');
      const header = Buffer.alloc(512);
      new Header({ type: 'File', mode: 0o644, mtime: new Date(0), size: content.length, ...entry }).encode(
        header,
      );
      return [header, Buffer.concat([content, Buffer.alloc(-content.length & 511)])];
    });
    return zstdCompressSync(Buffer.concat([...blocks, Buffer.alloc(1024)]));
  }

  test.each<[string, (modules: string, victim: string) => Entry[]]>([
    ['with an absolute path', (_modules, victim) => [{ path: `/${victim}/file` }]],
    ['with .. in a path', (modules) => [{ path: `${modules}/../../victim/file` }]],
    ['with a path beside its folders', (_modules, victim) => [{ path: `${victim}/file` }]],
    [
      'through a symbolic link',
      (modules, victim) => [
        { path: `${modules}/out`, type: 'SymbolicLink', linkpath: `/${victim}` },
        { path: `${modules}/out/file` },
      ],
    ],
    [
      'through a symbolic link in place of the folder itself',
      (modules, victim) => [
        { path: modules, type: 'SymbolicLink', linkpath: `/${victim}` },
        { path: `${modules}/file` },
      ],
    ],
    [
      'over a symbolic link',
      (modules, victim) => [
        { path: `${modules}/out`, type: 'SymbolicLink', linkpath: `/${victim}/file` },
        { path: `${modules}/out` },
      ],
    ],
    [
      'over a hard link to a symbolic link',
      (modules, victim) => [
        { path: `${modules}/out`, type: 'SymbolicLink', linkpath: `/${victim}/file` },
        { path: `${modules}/same`, type: 'Link', linkpath: `${modules}/out` },
        { path: `${modules}/same` },
      ],
    ],
    [
      'over a hard link to a file outside',
      (modules, victim) => [
        { path: `${modules}/same`, type: 'Link', linkpath: `/${victim}/kept` },
        { path: `${modules}/same` },
      ],
    ],
    ['with a device', (modules) => [{ path: `${modules}/disk`, type: 'BlockDevice', devmaj: 8, devmin: 0 }]],
    [
      'with a character device',
      (modules) => [{ path: `${modules}/memory`, type: 'CharacterDevice', devmaj: 1, devmin: 1 }],
    ],
    ['with a named pipe', (modules) => [{ path: `${modules}/pipe`, type: 'FIFO' }]],
  ])('%s', async (_name, entriesFor) => {
    const top = await folder();
    const modules = join(top, 'node_modules');
    const victim = join(top, 'victim');
    await mkdir(victim);
    await writeFile(join(victim, 'kept'), 'kept');
    const entries = entriesFor(modules.slice(1), victim.slice(1));
    await expect(unpack([archive(...entries)], [modules])).rejects.toThrow();
    expect(await readdir(victim)).toEqual(['kept']);
    expect(await readFile(join(victim, 'kept'), 'utf8')).toBe('kept');
    expect(await lstat(modules).catch(() => 'absent')).toBe('absent');
  });

  test('one that does nothing of that is unpacked: the archives above are well made', async () => {
    const modules = join(await folder(), 'node_modules');
    const path = modules.slice(1);
    await unpack([archive({ path, type: 'Directory' }, { path: `${path}/file` })], [modules]);
    expect(await readFile(join(modules, 'file'), 'utf8')).toBe('poison');
  });
});

async function rmAll(...paths: string[]): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true });
}
