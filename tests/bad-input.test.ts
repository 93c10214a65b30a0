import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pushImage, startRegistry, type TestRegistry } from '../packages/runner/test/image-registry.ts';
import { expectSuccess, pulumiUser } from './testing/pulumi-user.ts';
import {
  addEmptyProject,
  finishedDeployment,
  type SlipwayUnderTest,
  startSlipway,
} from './testing/slipway.ts';

const stack = 'local/wrong/dev';
const stackPath = `/api/stacks/${stack}`;
const folder = 'wrong';
let slipway: SlipwayUnderTest;
let registry: TestRegistry;
let folderOfRegistry: string;

beforeAll(async () => {
  folderOfRegistry = await mkdtemp(join(tmpdir(), 'slipway-registry-'));
  registry = await startRegistry(folderOfRegistry);
  slipway = await startSlipway({ allowPrivateRegistries: [registry.host] });
  await addEmptyProject(slipway, folder);
  await mkdir(join(slipway.workingCopy, 'no-project'));
  await writeFile(join(slipway.workingCopy, 'no-project', 'README.md'), 'No Pulumi.yaml here.\n');
  await slipway.publish();
  expectSuccess(await slipway.pulumi(['login', slipway.url]));
  expectSuccess(await pulumi('stack', 'init', stack));
}, 120_000);

afterAll(async () => {
  await slipway?.close();
  await registry?.[Symbol.asyncDispose]();
  await rm(folderOfRegistry, { recursive: true });
});

afterEach(async () => {
  expect(await slipway.api('GET', '/api/user')).toMatchObject({
    status: 200,
    json: { githubLogin: 'admin' },
  });
});

const pulumi = (...args: string[]) => slipway.pulumi(args, { folder });

interface Source {
  repository?: string;
  branch?: string;
  folder?: string;
}

/** Runs a preview with the real CLI, which shows the log, and answers what it said and its deployment. */
async function preview(source: Source, ...args: string[]) {
  const { repository = slipway.repositoryUrl, branch = 'main', folder: directory = folder } = source;
  const run = await pulumi(
    ...['deployment', 'run', 'preview', repository, '--git-branch', branch, '--git-repo-dir', directory],
    ...['--skip-install-dependencies', '--suppress-stream-logs=false', '--stack', stack, ...args],
  );
  const deployment = await finishedDeployment(slipway, stack);
  return { code: run.code, said: run.stdout + run.stderr, deployment };
}

describe('a source that is not there fails the run with its name and the remedy:', () => {
  test.each([
    {
      what: 'a repository',
      source: { repository: 'http://slipway.internal/no-such-repository.git' },
      message: /http:\/\/slipway\.internal\/no-such-repository\.git could not be read: it does not exist/,
      remedy: /Check its address and the git credentials in the deployment settings/,
    },
    {
      what: 'a host',
      source: { repository: 'https://no-such-host.invalid/owner/name.git' },
      message: /no-such-host\.invalid\/owner\/name\.git could not be read: its server could not be reached/,
      remedy: /Check the host name/,
    },
    {
      what: 'a branch',
      source: { branch: 'no-such-branch' },
      message: /examples\.git has no branch "no-such-branch"/,
      remedy: /Correct it in the deployment settings/,
    },
    {
      what: 'a folder',
      source: { folder: 'no-such-folder' },
      message: /There is no folder "no-such-folder" in the branch "main" of/,
      remedy: /Correct the folder in the deployment settings/,
    },
    {
      what: 'a Pulumi project',
      source: { folder: 'no-project' },
      message: /There is no Pulumi\.yaml in the folder "no-project" of/,
      remedy: /Correct the folder in the deployment settings/,
    },
  ])(
    '$what',
    async ({ source, message, remedy }) => {
      const { code, said, deployment } = await preview(source);
      expect(code).not.toBe(0);
      expect(said).toMatch(message);
      expect(said).toMatch(remedy);
      expect(deployment).toMatchObject({
        outcome: 'failed',
        cause: 'source-unavailable',
        message: expect.stringMatching(message),
      });
    },
    120_000,
  );
});

test('an image that the registry does not have fails the run, and so does one without pulumi or git', async () => {
  const build = join(slipway.directory, 'image');
  await mkdir(build);
  await pushImage(build, `${registry.host}/without-git:1`, { '/bin/pulumi': '' });
  await pushImage(build, `${registry.host}/without-pulumi:1`, { '/bin/program': '' });

  for (const [image, message] of [
    ['absent:1', /the registry does not have it\. Check repository, tag and digest/],
    ['without-pulumi:1', /there is no `pulumi` on its PATH; install the Pulumi CLI in the image/],
    ['without-git:1', /"Get source" could not start: the executor image has no program "git" on its PATH/],
  ] as const) {
    const reference = `${registry.host}/${image}`;
    const { code, said, deployment } = await preview({}, '--executor-image', reference);
    expect(code).not.toBe(0);
    expect(said).toMatch(message);
    expect(said).toContain(reference);
    expect(said).toContain('Check the image reference');
    expect(deployment).toMatchObject({ outcome: 'failed', cause: 'image-unavailable' });
  }
}, 300_000);

test('a wrong access token opens nothing: 401, and the CLI says that credentials are the matter', async () => {
  for (const authorization of ['token pul-wrong', 'Bearer pul-wrong', 'token ', 'nonsense', '']) {
    const answer = await fetch(`${slipway.url}/api/user`, { headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(await answer.json()).toEqual({ code: 401, message: expect.stringMatching(/token|credentials/i) });
  }
  const home = join(slipway.directory, 'stranger');
  const stranger = await pulumiUser(home, { url: slipway.url, token: 'pul-wrong' });
  const run = await stranger.run(slipway.workingCopy, 'deployment', 'run', 'update', '--stack', stack);
  expect(run.code).not.toBe(0);
  expect(run.stdout + run.stderr).toMatch(/credentials|access token/i);
});

test('a stack that does not exist is named: 404', async () => {
  const body = JSON.stringify({ operation: 'update' });
  const headers = { authorization: `token ${slipway.adminToken}` };
  const url = `${slipway.url}/api/stacks/local/wrong/no-such-stack/deployments`;
  const answer = await fetch(url, { method: 'POST', headers, body });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toEqual({ code: 404, message: expect.stringContaining('no-such-stack') });
  const run = await pulumi('deployment', 'run', 'update', '--stack', 'local/wrong/no-such-stack');
  expect(run.code).not.toBe(0);
  expect(run.stderr).toContain('no-such-stack');
});

test('a stack without a repository is told how to set one', async () => {
  const run = await pulumi('deployment', 'run', 'update', '--stack', stack);
  expect(run.code).not.toBe(0);
  expect(run.stderr).toContain(stack);
  expect(run.stderr).toContain('pulumi deployment settings edit --git-url');
});

test.each([
  { project: 'AZaz09-_.', name: '.-_90zaZA' },
  { project: '_', name: '-' },
  { project: 'p'.repeat(100), name: 's'.repeat(100) },
])(
  'a project $project and a stack $name, as the CLI allows them, can be deployed',
  async (names) => {
    await addEmptyProject(slipway, names.project);
    await slipway.publish();
    const here = (...args: string[]) => slipway.pulumi(args, { folder: names.project });
    const stackName = `local/${names.project}/${names.name}`;
    expectSuccess(await here('stack', 'init', stackName));
    expectSuccess(
      await here(
        ...['deployment', 'run', 'update', slipway.repositoryUrl, '--git-branch', 'main'],
        ...['--git-repo-dir', names.project, '--skip-install-dependencies', '--stack', stackName],
        '--suppress-stream-logs=false',
      ),
    );
    expect((await here('stack', 'ls', '--all')).stdout).toContain(names.name);
    expectSuccess(await here('stack', 'rm', '--yes', '--force', '--stack', stackName));
  },
  180_000,
);

describe('a body that is not what it should be is refused:', () => {
  const post = async (
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ) => {
    const authorization = `token ${slipway.adminToken}`;
    const init = { method: 'POST', headers: { authorization, ...headers }, body };
    const answer = await fetch(`${slipway.url}${path}`, init);
    return { status: answer.status, json: await answer.json() };
  };
  const paths = [`${stackPath}/deployments`, `${stackPath}/deployments/settings`, '/api/stacks/local/wrong'];

  test.each(paths)('JSON that is not JSON, or no object: 400 (%s)', async (path) => {
    for (const body of ['{"operation":', 'operation=update', '[]', 'null', '"text"', '\u0000']) {
      const answer = await post(path, body);
      expect(answer, `body ${body}`).toEqual({
        status: 400,
        json: { code: 400, message: expect.stringContaining('Bad Request') },
      });
    }
  });

  test('an operation that there is not: 400, with those that there are', async () => {
    const answer = await post(`${stackPath}/deployments`, '{"operation":"explode"}');
    expect(answer).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('update, preview') },
    });
  });

  test('100 MB: 413, as they are and compressed', async () => {
    const body = Buffer.alloc(100 * 1024 * 1024, ' ');
    const refused = { status: 413, json: { code: 413, message: expect.stringMatching(/large/i) } };
    const zipped = { 'content-encoding': 'gzip' };
    for (const path of paths) {
      expect(await post(path, body)).toEqual(refused);
      expect(await post(path, gzipSync(body), zipped)).toEqual(refused);
    }
  }, 120_000);
});
