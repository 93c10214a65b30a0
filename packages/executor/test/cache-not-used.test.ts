import { execFile } from 'node:child_process';
import { mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { CacheNotUsed } from '../src/cache/cache-not-used.ts';
import {
  detect,
  detectIn,
  nodejs,
  npmLock,
  pnpmLock,
  poetryLock,
  python,
  source,
  withOptions,
} from './testing/detected-project.ts';

describe('the cache is not used, and the reason is told', () => {
  const reasonIn = (top: string) =>
    detectIn(top).then(
      () => 'it was used',
      (error: unknown) => (error instanceof CacheNotUsed ? error.message : String(error)),
    );
  const reasonFor = async (files: Readonly<Record<string, string>>) => reasonIn(await source(files));

  test('without a lock file', async () => {
    expect(await reasonFor(nodejs)).toBe(
      'there is no lock file (package-lock.json, yarn.lock, pnpm-lock.yaml)',
    );
  });

  test('with several lock files; the project file may decide', async () => {
    const two = { 'requirements.txt': 'six\n', 'poetry.lock': poetryLock };
    expect(await reasonFor({ ...python, ...two })).toMatch(
      /several lock files: .*requirements.txt, .*poetry.lock/,
    );
    const decided = await detect({ ...withOptions('python', 'toolchain: poetry'), ...two });
    expect(decided.tool).toBe('poetry');
    const pnpm = { 'package-lock.json': npmLock, 'pnpm-lock.yaml': pnpmLock };
    expect(await detect({ ...withOptions('nodejs', 'packagemanager: pnpm'), ...pnpm })).toMatchObject({
      tool: 'pnpm',
    });
  });

  test.each(['java', 'yaml'])('for the runtime %s', async (runtime) => {
    expect(await reasonFor({ 'Pulumi.yaml': `name: p\nruntime: ${runtime}\n` })).toBe(
      `dependencies of the runtime "${runtime}" are not cached`,
    );
  });

  const execute = promisify(execFile);
  const limits = { 'Pulumi.yaml': 1, 'package-lock.json': 64 } as const;
  describe.each(['Pulumi.yaml', 'package-lock.json'] as const)('where %s is', (name) => {
    test.each<[string, (path: string) => Promise<unknown>, string]>([
      ['a link to a device', (path) => symlink('/dev/zero', path), 'is not a regular file'],
      ['a pipe', (path) => execute('mkfifo', [path]), 'is not a regular file'],
      [
        'too large',
        (path) => writeFile(path, '').then(() => truncate(path, limits[name] * 1024 * 1024 + 1)),
        `is larger than the ${limits[name]} MiB that are read of it`,
      ],
    ])('%s', async (_, make, reason) => {
      const top = await source({ ...nodejs, 'package-lock.json': npmLock });
      const path = join(top, name);
      await rm(path);
      await make(path);
      expect(await reasonIn(top)).toBe(`${path} ${reason}`);
    });
  });

  test('where the lock file is a folder, or a link to nothing', async () => {
    const top = await source(nodejs);
    const path = join(top, 'package-lock.json');
    await mkdir(path);
    expect(await reasonIn(top)).toBe(`${path} is not a file`);
    await rm(path, { recursive: true });
    await symlink('nowhere', path);
    expect(await reasonIn(top)).toBe(`${path} is not a file`);
  });

  test('a lock file of the largest size that is read is one, and an endless file of the kernel is empty', async () => {
    const top = await source({ ...nodejs, 'package-lock.json': npmLock });
    await truncate(join(top, 'package-lock.json'), 64 * 1024 * 1024);
    expect(await reasonIn(top)).toBe('it was used');
    await rm(join(top, 'package-lock.json'));
    await symlink('/proc/kmsg', join(top, 'package-lock.json'));
    expect(await reasonIn(top)).toBe('it was used');
  });
});
