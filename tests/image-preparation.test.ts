import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory, listPreparationFailures } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { StoreFolder } from '../packages/runner/src/images/store-folder.ts';
import { layerOf } from '../packages/runner/src/testing/layers.ts';
import { passwordFileLine } from '../packages/runner/src/testing/password-file.ts';
import { push, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';
import { until } from './testing/api.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const program = join(import.meta.dirname, '..', 'slipway');
const execute = promisify(execFile);
const failure = z.object({ problem: z.string(), failedAt: z.string() });
const preparation = z.object({ failures: z.array(failure.extend({ hostname: z.string() })) });
const hostFailures = z.object({ failures: z.array(failure.extend({ reference: z.string() })) });
const login = { username: 'robot', password: 'canary-registry-password' };
const stack = 'local/prepared/dev';
let folder: string;
let registry: TestRegistry;
let slipway: SlipwayUnderTest;
let reference: string;
let device: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-preparation-'));
  const path = join(folder, 'passwords');
  await writeFile(path, passwordFileLine(login.username, login.password));
  registry = await startRegistry(join(folder, 'registry'), { auth: { htpasswd: { realm: 'test', path } } });
  reference = `${registry.host}/team/executor:1`;
  const layers = [
    layerOf([
      { file: 'usr/bin/pulumi', mode: 0o755 },
      { file: 'unique', content: randomBytes(32) },
    ]),
  ];
  const { digest } = await push(folder, reference, { layers }, `${login.username}:${login.password}`);
  device = new StoreFolder(cacheDirectory(process.env)).device(digest, `${registry.host}/team/executor`);
  slipway = await startSlipway({ allowPrivateRegistries: [registry.host] });
}, 120_000);

afterAll(async () => {
  await slipway?.close();
  await registry?.[Symbol.asyncDispose]();
  for (const path of [folder, device]) await rm(path, { recursive: true, force: true });
});

/** Makes a stack whose settings name the image with this password; answers the path of its API. */
async function stackWith(name: string, executorImage: object): Promise<string> {
  const [organization, project] = stack.split('/');
  const made = await slipway.api('POST', `/api/stacks/${organization}/${project}`, { stackName: name });
  expect(made).toMatchObject({ status: 200 });
  const path = `${organization}/${project}/${name}`;
  await nameImage(path, executorImage);
  return path;
}

async function nameImage(path: string, executorImage: object): Promise<void> {
  const saved = await slipway.api('PUT', `/api/stacks/${path}/deployments/settings`, {
    executorContext: { executorImage },
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main' } },
  });
  expect(saved).toMatchObject({ status: 200 });
}

/** Runs `slipway image status …` to its end. */
async function imageStatus(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, HOME: slipway.directory, PULUMI_ACCESS_TOKEN: slipway.adminToken };
  return execute(program, ['image', 'status', ...args, '--url', slipway.url], { env }).then(
    (said) => ({ code: 0, ...said }),
    (failed: { code: number; stdout: string; stderr: string }) => failed,
  );
}

test('an image is fetched with its login and converted when settings name it, and a run then finds it', async () => {
  const password = { secret: login.password };
  await stackWith('dev', { reference, credentials: { ...login, password } });
  await until('the image is a device', 30_000, async () => existsSync(device) || undefined);

  const fetched = registry.requests(/\/blobs\//);
  const queued = await slipway.api('POST', `/api/stacks/${stack}/deployments`, { operation: 'preview' });
  expect(queued).toMatchObject({ status: 202 });
  const run = await finishedDeployment(slipway, stack);
  // The image has no git: that this is what the run fails for shows that it was used.
  expect(run).toMatchObject({
    cause: 'image-unavailable',
    message: expect.stringContaining('has no program "git"'),
    sandbox: { imageReference: reference },
  });
  expect(registry.requests(/\/blobs\//)).toBe(fetched);
}, 120_000);

test('who named an image that cannot be had is told why, and so is who looks at the host, until it is mended', async () => {
  const withPassword = (password: string) => ({
    reference,
    credentials: { ...login, password: { secret: password } },
  });
  const path = await stackWith('failing', withPassword('canary-wrong-password'));
  const failures = async () => {
    const { json } = await slipway.api('GET', `/api/slipway/stacks/${path}/executor-image`);
    return preparation.parse(json).failures;
  };
  const [failure] = await until('the failure is told', 30_000, async () => {
    const told = await failures();
    return told.length > 0 ? told : undefined;
  });
  expect(failure).toMatchObject({
    hostname: hostname(),
    problem: expect.stringContaining(`"${reference}": the registry refuses access`),
  });
  expect(await imageStatus(path)).toMatchObject({
    code: 2,
    stdout: expect.stringMatching(
      new RegExp(`^${reference}\n.*try again:\n\\S+ \\S+Z  ${hostname()}  .*the registry refuses access`),
    ),
  });
  const told = await imageStatus(path, '--json');
  expect({ ...told, stdout: JSON.parse(told.stdout) }).toMatchObject({
    code: 2,
    stdout: { reference, failures: [failure] },
  });
  const { stdout } = await execute(program, ['image', 'ls', '--json']);
  expect(stdout).not.toContain('canary-wrong-password');
  expect(hostFailures.parse(JSON.parse(stdout)).failures).toContainEqual({
    reference,
    problem: failure?.problem,
    failedAt: failure?.failedAt,
  });

  await nameImage(path, withPassword(login.password));
  await until('the host has it', 30_000, async () => {
    const kept = await listPreparationFailures(cacheDirectory(process.env));
    return kept.every((each) => each.reference !== reference) || undefined;
  });
  expect(await failures()).toEqual([]);
  expect(await imageStatus(path)).toMatchObject({
    code: 0,
    stdout: `${reference}\nNo runner says that it could not make it ready.\n`,
  });
}, 120_000);

test('the state of an image that no settings name, or of no stack, is a sentence', async () => {
  await slipway.api('POST', '/api/stacks/local/prepared', { stackName: 'nameless' });
  expect(await imageStatus('local/prepared/nameless')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('"local/prepared/nameless" name no executor image'),
  });
  const missing = await imageStatus('local/prepared/missing');
  expect(missing).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/Not Found: .*missing/),
  });
  expect(await imageStatus('prepared')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('"prepared" is not a stack; write it as organization/project/stack'),
  });
});
