import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createImageStore, listPreparationFailures, pruneImages } from '@slipway/runner';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { layerOf } from '../packages/runner/src/testing/layers.ts';
import { push, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';

const program = join(import.meta.dirname, '..', 'slipway');
const execute = promisify(execFile);
let folder: string;
let registry: TestRegistry;
let cacheDirectory: string;
let reference: string;
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
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(folder, 'cache-'));
});

const environment = () => ({ ...process.env, SLIPWAY_CACHE_DIR: cacheDirectory });
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
  const command = `${program} image pull ${reference}`;
  const { stdout } = await execute('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: environment(),
  });
  expect(stdout).toMatch(/Pulling \[=* *\] +\d+ % [\d.]+ MiB of 3\.0 MiB/);
  expect(stdout).toContain(`${reference} ${digest}`);
});
