import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  cacheDirectory as cacheDirectoryOf,
  createImageStore,
  defaultImageReference,
  listPreparationFailures,
  pruneImages,
} from '@slipway/runner';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { layerOf } from '../packages/runner/src/testing/layers.ts';
import { push, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';

const program = join(import.meta.dirname, '..', 'slipway');
const execute = promisify(execFile);
let folder: string;
let registry: TestRegistry;
let cacheDirectory: string;
let reference: string;
/** The same image in another repository. */
let mirrored: string;
let digest: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-image-command-'));
  registry = await startRegistry(join(folder, 'registry'));
  reference = `${registry.host}/team/executor:1`;
  const layer = layerOf([
    { file: 'usr/bin/pulumi', mode: 0o755 },
    { file: 'data', content: randomBytes(3 << 20) },
  ]);
  const config = { User: '1000:1001', Env: ['GREETING=hello', 'PATH=/usr/bin'] };
  ({ digest } = await push(folder, reference, { layers: [layer], config }));
  mirrored = `${registry.host}/mirror/executor:1`;
  await push(folder, mirrored, { layers: [layer], config });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
});

const environment = () => ({ ...process.env, SLIPWAY_CACHE_DIR: cacheDirectory });
/** What `slipway image …` prints on a terminal. */
const onTerminal = async (...words: string[]) => {
  const command = [program, 'image', ...words].join(' ');
  const argv = ['--quiet', '--return', '--command', command, '/dev/null'];
  return (await execute('script', argv, { env: environment() })).stdout;
};
/** What `slipway image …` prints. */
const image = (...words: string[]) => execute(program, ['image', ...words], { env: environment() });
const json = async (...words: string[]) => JSON.parse((await image(...words, '--json')).stdout);

test('pull says how far it is and what it has got; ls, inspect and prune know it', async () => {
  const pulled = await image('pull', reference);
  expect(pulled.stdout).toBe(`${reference} ${digest}\n`);
  expect(pulled.stderr).toMatch(/^Pulling [\d.]+ MiB of 3\.0 MiB$/m);
  expect(await json('pull', reference)).toEqual({ reference, digest });

  expect((await image('ls')).stdout).toMatch(
    new RegExp(`^${digest.slice(0, 19)} +3\\.\\d MiB  used .*  ${reference}$`, 'm'),
  );
  expect(await json('ls')).toMatchObject({
    images: [{ digest, references: [reference], isInUse: false }],
    failures: [],
  });
  for (const name of [reference, digest, digest.slice(7, 20)]) {
    expect(await json('inspect', name)).toMatchObject({
      digest,
      config: { user: { userId: 1000, groupId: 1001 }, environment: { GREETING: 'hello' } },
    });
  }
  const inspected = (await image('inspect', reference)).stdout;
  expect(inspected).toMatch(/^user +1000:1001, home \/$/m);
  expect(inspected).toMatch(/^environment +GREETING PATH$/m);

  const { freedBytes } = await json('prune');
  expect(freedBytes).toBeGreaterThan(6 << 20);
  expect(await json('ls')).toEqual({ images: [], failures: [] });
  expect((await image('ls')).stdout).toContain('There are no images on this host');
});

test('an image of two repositories is two, told apart by their references', async () => {
  for (const each of [reference, mirrored]) await image('pull', each);
  for (const each of [reference, mirrored]) {
    expect(await json('inspect', each)).toMatchObject({ digest, references: [each] });
  }
  const stderr = expect.stringMatching(/fits 2 images: .*\(.*executor:1\); .*Give the reference/);
  await expect(image('inspect', digest)).rejects.toMatchObject({ stderr });
});

test('prune leaves what is in use', async () => {
  const images = createImageStore({ cacheDirectory });
  const held = await images.resolve(reference);
  expect(await json('ls')).toMatchObject({ images: [{ isInUse: true }] });
  expect((await image('ls')).stdout).toContain('in use');
  await json('prune', '--all');
  expect(await json('ls')).toMatchObject({ images: [{ digest }] });
  await held.release();
  await json('prune');
  expect(await json('ls')).toEqual({ images: [], failures: [] });
  await images.close();
});

test('ls names what could not be made ready ahead of time, until it is had or pruned', async () => {
  const images = createImageStore({ cacheDirectory });
  const fail = (name: string, problem: string) =>
    images.noteFailure({ reference: name, problem, failedAt: '2026-01-02T03:04:05.000Z' });
  await fail(reference, 'not there');
  await fail('a.test/b:1', '\u001b[2Jno\nsuch\rthing');
  expect((await image('ls')).stdout).toMatch(
    /no images on this host[\s\S]*Could not be made ready.*\n(2026-01-02 03:04 {2}(not there|␛\[2Jno such thing)\n){2}$/,
  );
  await (await images.resolve(reference)).release();
  const failures = [
    { reference: 'a.test/b:1', problem: '␛[2Jno such thing', failedAt: '2026-01-02T03:04:05.000Z' },
  ];
  expect(await json('ls')).toMatchObject({ images: [{ digest }], failures });
  await images.close();
  await pruneImages(cacheDirectory, { all: false });
  expect(await listPreparationFailures(cacheDirectory)).toEqual([]);
});

test('an image that cannot be had ends the command with its name and the reason', async () => {
  for (const [words, message] of [
    [['pull', `${registry.host}/team/absent:1`], /absent:1": the registry does not have it/],
    [['pull', 'A B'], /not an image reference/],
    [['inspect', 'nothing'], /There is no image "nothing" on this host/],
  ] as const) {
    const failure = await image(...words).catch((error: { code: number; stderr: string }) => error);
    expect(failure).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
  }
});

test('on a terminal the progress is a bar', async () => {
  const shown = await onTerminal('pull', reference);
  expect(shown).toMatch(/Pulling \[=* *\] +\d+ % [\d.]+ MiB of 3\.0 MiB/);
  expect(shown).toContain(`${reference} ${digest}`);
});

test('build says how far it is, in lines or as a bar on a terminal, and does nothing twice', async () => {
  await usePartsOfSetUp();
  const built = await image('build', '--json');
  expect(JSON.parse(built.stdout)).toMatchObject({ reference: defaultImageReference });
  expect(built.stderr).toMatch(/^Packing 0 of 2 layers\nPacking 1 of 2 layers\nPacking 2 of 2 layers\n/m);
  expect(built.stderr).toMatch(/^Converting [\d.]+ MiB$/m);
  expect(built.stderr).not.toContain('\r');

  await rm(join(cacheDirectory, 'images'), { recursive: true });
  const shown = await onTerminal('build');
  expect(shown).toContain('\r\u001b[Kmaking a read-only device');
  expect(shown).toMatch(/Converting [\d.]+ MiB/);
  const { digest } = JSON.parse(built.stdout);
  // What changed is taken back, and the result stands alone.
  expect(shown.split('\r\u001b[K').at(-1)?.trim()).toBe(`${defaultImageReference} ${digest}`);
  expect((await image('build', '--json')).stderr).toBe('');
}, 180_000);

/** What takes minutes and a way to package registries: that of this host, which the tests were set up with. */
async function usePartsOfSetUp(): Promise<void> {
  const host = cacheDirectoryOf(process.env);
  for (const part of ['pulumi', 'node-packages', 'language-host']) {
    await symlink(join(host, part), join(cacheDirectory, part));
  }
  await mkdir(join(cacheDirectory, 'default-image'));
  for (const name of await readdir(join(host, 'default-image'))) {
    const path = join('default-image', name);
    if (name.endsWith('.tar')) await symlink(join(host, path), join(cacheDirectory, path));
  }
}
