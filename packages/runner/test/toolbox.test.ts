import { mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../src/setup/run-command.ts';
import { ensureToolbox } from '../src/toolbox/ensure-toolbox.ts';
import type { Toolbox } from '../src/toolbox/toolbox.ts';
import { extractErofs } from './image-registry.ts';

let folder: string;
let toolbox: Toolbox;
const report = () => {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-toolbox-'));
  toolbox = await ensureToolbox({ cacheDirectory: join(folder, 'cache'), report });
});

afterAll(() => rm(folder, { recursive: true }));

/** Runs a command in a root that holds nothing but the toolbox. */
async function inEmptyRoot(argv: readonly string[]): Promise<string> {
  const root = join(folder, 'root');
  await rm(root, { recursive: true, force: true });
  await mkdir(root);
  await extractErofs(toolbox.erofsPath, join(root, 'slipway'));
  return runCommand(['chroot', root, ...argv], { environment: { PATH: process.env.PATH } });
}

test('Node of the toolbox starts in a root without any library', async () => {
  const node = toolbox.executorArgv.slice(0, -2);
  expect(await inEmptyRoot([...node, '--print', 'process.version'])).toMatch(/^v24\./);
});

test('the executor starts there too, and ends when nobody is at its channel', async () => {
  // There is no file descriptor 3: what matters is that the failure is the executor's own.
  await expect(inEmptyRoot(toolbox.executorArgv)).rejects.toThrow(/EBADF|The executor lost the runner/);
});

test('it lists what a guest is to read ahead: of Node a part, of the snapshot all', async () => {
  const root = join(folder, 'read');
  await extractErofs(toolbox.erofsPath, root);
  const bytes = new Map<string, number>();
  for (const line of (await readFile(join(root, 'read-ahead'), 'utf8')).trim().split('\n')) {
    const [, length, name = ''] = line.split(' ');
    bytes.set(name, (bytes.get(name) ?? 0) + Number(length));
  }
  const nodeBytes = (await stat(join(root, 'bin/node'))).size;
  expect(bytes.get('bin/node')).toBeGreaterThan(nodeBytes / 10);
  expect(bytes.get('bin/node')).toBeLessThan(nodeBytes / 2);
  expect(bytes.get('executor.snapshot')).toBe((await stat(join(root, 'executor.snapshot'))).size);
});

test('the same inputs give the same digest, also where a link leads to the cache', async () => {
  await mkdir(join(folder, 'other-disk'));
  await symlink(join(folder, 'other-disk'), join(folder, 'other-cache'));
  const again = await ensureToolbox({
    cacheDirectory: join(folder, 'other-cache'),
    report: (line) => expect(line).not.toContain('slowly'),
  });
  expect(again.erofsPath).not.toBe(toolbox.erofsPath);
  expect(again.digest).toBe(toolbox.digest);
});

test('it is made once: a second call takes less than 200 milliseconds', async () => {
  const start = performance.now();
  const again = await ensureToolbox({ cacheDirectory: join(folder, 'cache'), report });
  expect(performance.now() - start).toBeLessThan(200);
  expect(again).toEqual(toolbox);
});
