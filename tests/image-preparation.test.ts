import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { layerOf } from '../packages/runner/src/testing/layers.ts';
import { passwordFileLine } from '../packages/runner/src/testing/password-file.ts';
import { push, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';
import { until } from './testing/api.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

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
  device = join(cacheDirectory(process.env), 'images/devices', digest.replace(':', '-'));
  slipway = await startSlipway({ allowPrivateRegistries: [registry.host] });
}, 120_000);

afterAll(async () => {
  await slipway?.close();
  await registry?.[Symbol.asyncDispose]();
  for (const path of [folder, device]) await rm(path, { recursive: true, force: true });
});

test('an image is fetched with its login and converted when settings name it, and a run then finds it', async () => {
  const [organization, project, name] = stack.split('/');
  const made = await slipway.api('POST', `/api/stacks/${organization}/${project}`, { stackName: name });
  expect(made).toMatchObject({ status: 200 });
  const password = { secret: login.password };
  const saved = await slipway.api('PUT', `/api/stacks/${stack}/deployments/settings`, {
    executorContext: { executorImage: { reference, credentials: { ...login, password } } },
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main' } },
  });
  expect(saved).toMatchObject({ status: 200 });
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
