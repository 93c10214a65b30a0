import type { EgressRecord } from '@slipway/core';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

let server: TestServer;
let runner: TestRunner;
beforeAll(async () => {
  server = await startTestServer();
  runner = await TestRunner.register(server);
});
afterAll(() => server.stop());

const gitUrl = 'https://git.example.com/shop.git';

/** The body that `pulumi deployment run` sends when its user gives no flag (Pulumi CLI v3.259.0). */
const bareRequest = {
  operation: 'update',
  inheritSettings: true,
  executorContext: { workingDirectory: '' },
  operationContext: { preRunCommands: [], operation: '', environmentVariables: {} },
  agentPoolID: null,
};

/** The job of a deployment that has just been queued; the run is then finished. */
async function jobOfNext() {
  const run = await runner.mustClaim();
  const job = await run.job();
  await run.finish();
  return { job, outline: run.claim.run };
}

test('`pulumi deployment run` without flags inherits every setting of the stack', async () => {
  const stack = await server.makeStack('inherits');
  await server.call('PUT', `${stack}/deployments/settings`, {
    executorContext: { executorImage: 'registry/image:1', executorRootPath: '/tmp' },
    sourceContext: { git: { repoUrl: gitUrl, branch: 'refs/heads/main', repoDir: 'infra' } },
    operationContext: {
      preRunCommands: ['date', 'id'],
      environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'the-password' } },
      options: { skipInstallDependencies: true, shell: '/bin/bash' },
    },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: { git: { repoUrl: '', branch: '' } } });
  const { job, outline } = await jobOfNext();
  expect(outline.imageReference).toBe('registry/image:1');
  expect(job).toMatchObject({
    source: { kind: 'git', repoUrl: gitUrl, branch: 'main', repoDir: 'infra' },
    preRunCommands: ['date', 'id'],
    environment: { REGION: 'eu', PASSWORD: 'the-password' },
    options: {
      ...{ skipInstallDependencies: true, shell: '/bin/bash' },
      ...{ deleteAfterDestroy: false, remediateIfDriftDetected: false },
    },
    executorRootPath: '/tmp',
  });
});

test('the settings of a queued deployment are frozen', async () => {
  const stack = await server.makeStack('frozen');
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, branch: 'one' } },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, branch: 'two' } },
  });
  expect((await jobOfNext()).job.source).toMatchObject({ branch: 'one' });
});

test('settings that are not inherited do not reach the job', async () => {
  const stack = await server.makeStack('alone');
  await server.call('PUT', `${stack}/deployments/settings`, {
    operationContext: { environmentVariables: { INHERITED: 'yes' } },
  });
  await deploy(server, stack, { inheritSettings: false });
  expect((await jobOfNext()).job.environment).toEqual({});
});

test.each([
  ['token', { accessToken: { secret: 'the-token' } }, { kind: 'token', token: 'the-token' }],
  [
    'basic',
    { basicAuth: { userName: 'git', password: { secret: 'the-password' } } },
    { kind: 'basic', userName: 'git', password: 'the-password' },
  ],
  [
    'ssh',
    { sshAuth: { sshPrivateKey: { secret: 'the-key' }, password: { secret: 'the-phrase' } } },
    { kind: 'ssh', privateKey: 'the-key', passphrase: 'the-phrase' },
  ],
])('git credentials reach the job, and only the job: %s', async (name, gitAuth, credentials) => {
  const stack = await server.makeStack(`auth-${name}`);
  const settings = await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, gitAuth } },
  });
  expect(JSON.stringify(settings.body)).not.toMatch(/the-/);
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  const { job, outline } = await jobOfNext();
  expect(job.source.credentials).toEqual(credentials);
  expect(JSON.stringify(outline)).not.toMatch(/the-(token|password|key|phrase)/);
});

test('a repository that only the version control settings name is used', async () => {
  const stack = await server.makeStack('github');
  await server.call('POST', `${stack}/deployments/settings`, { gitHub: { repository: 'acme/infra' } });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  expect((await jobOfNext()).job.source).toEqual({ kind: 'git', repoUrl: 'https://github.com/acme/infra' });
});

test('no secret is in the database in clear, the job token included', async () => {
  const stack = await server.makeStack('sealed');
  const canary = 'canary-8c1f0b7e';
  const gitAuth = { accessToken: { secret: `${canary}-git` } };
  await server.call('PUT', `${stack}/deployments/settings`, {
    sourceContext: { git: { repoUrl: gitUrl, gitAuth } },
    operationContext: {
      environmentVariables: { PASSWORD: { secret: `${canary}-env` }, PLAIN: 'visible-canary' },
    },
  });
  await deploy(server, stack, { ...bareRequest, sourceContext: undefined });
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  await run.log(0, `${canary}-env ${jobToken}`);
  const dump = await dumpDatabase();
  expect(dump, 'the search would find it').toContain('visible-canary');
  expect(dump).not.toContain(canary);
  expect(dump).not.toContain(jobToken);
  expect(dump).not.toContain(run.claim.leaseToken);
  expect(dump).not.toContain(server.server.poolToken);
  await run.finish();
});

/** Every row of every table as text; bytes as they are. */
async function dumpDatabase(): Promise<string> {
  const { db } = server.server.controlPlane;
  const { rows: tables } = await sql<{ name: string }>`
    SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`.execute(db);
  const contents: string[] = [];
  for (const { name } of tables) {
    const { rows } = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(name)}`.execute(db);
    for (const value of rows.flatMap((row) => Object.values(row))) {
      contents.push(Buffer.isBuffer(value) ? value.toString('latin1') : (JSON.stringify(value) ?? ''));
    }
  }
  return contents.join('\n');
}

test('a ciphertext that was answered is accepted for its stack, and for no other', async () => {
  const one = await server.makeStack('cipher-one');
  const two = await server.makeStack('cipher-two');
  const encrypted = await server.call('POST', `${one}/deployments/settings/encrypt`, { secret: 'moved' });
  const settings = {
    sourceContext: { git: { repoUrl: gitUrl } },
    operationContext: { environmentVariables: { PASSWORD: encrypted.body } },
  };
  expect(await server.call('PUT', `${one}/deployments/settings`, settings)).toMatchObject({ status: 200 });
  expect(await server.call('PUT', `${two}/deployments/settings`, settings)).toMatchObject({
    status: 400,
    body: { code: 400, message: expect.stringContaining('Message authentication failed') },
  });
  await deploy(server, one, { ...bareRequest, sourceContext: undefined });
  expect((await jobOfNext()).job.environment).toEqual({ PASSWORD: 'moved' });
});

test('two changes of the settings at once are both kept', async () => {
  const stack = await server.makeStack('two-changes');
  const change = (name: string) =>
    server.call('POST', `${stack}/deployments/settings`, {
      operationContext: { environmentVariables: { [name]: 'set' } },
    });
  await Promise.all(['A', 'B', 'C', 'D', 'E', 'F'].map(change));
  const { body } = await server.call('GET', `${stack}/deployments/settings`);
  expect(body).toMatchObject({
    version: 6,
    operationContext: {
      environmentVariables: { A: 'set', B: 'set', C: 'set', D: 'set', E: 'set', F: 'set' },
    },
  });
});

const list = z.object({
  deployments: z.array(z.object({ version: z.number(), status: z.string() })),
  itemsPerPage: z.number(),
  total: z.number(),
});

test('deployments are listed in pages, newest first, and by status', async () => {
  const stack = await server.makeStack('listed');
  for (let count = 0; count < 12; count += 1) await deploy(server, stack);
  const run = await runner.mustClaim();
  const read = async (query: string) => {
    const page = await server.expectCall(list, 200, 'GET', `${stack}/deployments${query}`);
    return {
      versions: page.deployments.map(({ version }) => version),
      total: page.total,
      size: page.itemsPerPage,
    };
  };
  expect(await read('')).toEqual({ versions: [12, 11, 10, 9, 8, 7, 6, 5, 4, 3], total: 12, size: 10 });
  expect(await read('?page=2&pageSize=10')).toEqual({ versions: [2, 1], total: 12, size: 10 });
  expect(await read('?page=9')).toEqual({ versions: [], total: 12, size: 10 });
  expect(await read('?pageSize=2&asc=true&sort=version')).toEqual({ versions: [1, 2], total: 12, size: 2 });
  expect(await read('?status=accepted')).toEqual({ versions: [1], total: 1, size: 10 });
  expect((await read('?status=not-started')).total).toBe(11);
  for (const query of ['page=0', 'pageSize=0', 'pageSize=101', 'asc=perhaps', 'status=gone', 'page=x']) {
    expect(await server.call('GET', `${stack}/deployments?${query}`), query).toMatchObject({ status: 400 });
  }
  for (let version = 2; version <= 12; version += 1) {
    const { body } = await server.call('GET', `${stack}/deployments/version/${version}`);
    const { id } = z.object({ id: z.string() }).parse(body);
    await server.call('POST', `${stack}/deployments/${id}/cancel`);
  }
  await run.finish();
  expect((await read('?status=failed')).total).toBe(11);
});

test.each([
  ['no operation', {}, 'operation'],
  ['an unknown operation', { operation: 'explode' }, 'remediate-drift'],
  [
    'an operation in the wrong place',
    { operation: 'update', operationContext: { operation: 'update' } },
    'top level',
  ],
  ['no repository', { operation: 'update' }, 'pulumi deployment settings edit'],
  ['an unknown pool', { operation: 'update', agentPoolID: 'nowhere' }, 'nowhere'],
  ['a template', { operation: 'update', sourceContext: { template: { sourceUrl: 'x' } } }, 'template'],
  [
    'commands that are no list',
    { operation: 'update', operationContext: { preRunCommands: { a: 'b' } } },
    'preRunCommands',
  ],
  [
    'a variable with "="',
    { operation: 'update', operationContext: { environmentVariables: { 'A=B': 'x' } } },
    'operationContext.environmentVariables.A=B',
  ],
  [
    'too much',
    {
      operation: 'update',
      operationContext: { preRunCommands: Array.from({ length: 5 }, () => 'x'.repeat(60_000)) },
    },
    'at most 262144',
  ],
])('a request with %s is refused with a sentence that names it', async (what, body, named) => {
  const stack = await server.makeStack(`bad-${what.replaceAll(/[^a-z]/g, '-')}`);
  const answer = await server.call('POST', `${stack}/deployments`, body);
  expect(answer).toMatchObject({ status: 400, body: { code: 400, message: expect.stringContaining(named) } });
});

test('a body that is not JSON, or no object, is refused', async () => {
  const stack = await server.makeStack('not-json');
  for (const body of ['{"operation":', '[]', '"update"', 'null']) {
    for (const [method, path] of [
      ['POST', 'deployments'],
      ['PUT', 'deployments/settings'],
    ] as const) {
      expect(await server.call(method, `${stack}/${path}`, body), body).toMatchObject({ status: 400 });
    }
  }
});

test('another organization, no token and a job token open no deployment', async () => {
  const stack = await server.makeStack('closed');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  for (const authorization of ['token nonsense', `token ${jobToken}`, '']) {
    for (const path of [`${stack}/deployments`, `${stack}/deployments/${id}`, `/api/slipway/runs/${id}`]) {
      expect(await server.call('GET', path, undefined, { authorization })).toMatchObject({ status: 401 });
    }
  }
  expect(await server.call('GET', `/api/stacks/other/shop/closed/deployments/${id}`)).toMatchObject({
    status: 404,
  });
  await run.finish();
});

test('names with every character that the CLI allows work', async () => {
  const stack = await server.makeStack('a.b_c-D9', 'Shop_1.x-');
  await deploy(server, stack);
  expect((await jobOfNext()).job.stack).toEqual({
    organization: 'acme',
    project: 'Shop_1.x-',
    stack: 'a.b_c-D9',
  });
});

test('a run tells why it ended, where it ran, and how long its phases took', async () => {
  const stack = await server.makeStack('facts');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const sandbox = {
    ...{ isolation: 'vm', accelerated: false, imageReference: 'image', imageDigest: 'sha256:1' },
    ...{ toolboxDigest: 'sha256:2', kernelDigest: 'sha256:3', initramfsDigest: 'sha256:4' },
    ...{ kernelRelease: '6.18', bootId: 'b' },
  };
  const steps = [{ name: 'Setup', status: 'failed', startedAt: null, updatedAt: null }];
  await run.call('steps', { steps: [{ ...steps[0], name: 'Setup\u001b[2J' }], sandbox });
  await run.finish({
    ...{ outcome: 'failed', cause: 'image-unavailable', message: 'No image\0 "x\u001b]0;title\u0007".' },
    phaseMilliseconds: { image: 12.5 },
  });
  expect((await server.call('GET', `/api/slipway/runs/${id}`)).body).toMatchObject({
    ...{ id, stack: 'acme/shop/facts', number: 1, state: 'finished', outcome: 'failed' },
    ...{ cause: 'image-unavailable', message: 'No image\uFFFD "x␛]0;title␇".' },
    ...{
      sandbox,
      steps: [{ ...steps[0], name: 'Setup␛[2J' }],
      phaseMilliseconds: { image: 12.5 },
      claims: 1,
    },
  });
  expect(await server.call('GET', `/api/slipway/runs/${crypto.randomUUID()}`)).toMatchObject({ status: 404 });
});

test('a run tells where it went and what it was refused, its secrets hidden in names', async () => {
  const stack = await server.makeStack('egress');
  const environmentVariables = { TOKEN: { secret: 'hunter2hunter2' } };
  const { id } = await deploy(server, stack, { operationContext: { environmentVariables } });
  const run = await runner.mustClaim();
  const runPath = `/api/slipway/runs/${id}`;
  expect((await server.call('GET', runPath)).body).toMatchObject({ egress: null });
  const contact = {
    ...{ hosts: ['hunter2hunter2.evil.example'], address: '203.0.113.7', port: 443, protocol: 'tcp' },
    ...{ count: 2, lastAt: '2026-01-01T00:00:00.000Z' },
  };
  const egress: EgressRecord = {
    contacted: [contact],
    refused: [{ ...contact, hosts: ['other\u001b[2J.example'], reason: 'policy' }],
    unlisted: { contacted: 0, refused: 7 },
  };
  await run.job();
  await run.finish({ egress });
  expect((await server.call('GET', runPath)).body).toMatchObject({
    egress: {
      ...egress,
      contacted: [{ ...contact, hosts: ['***.evil.example'] }],
      refused: [{ ...contact, hosts: ['other␛[2J.example'], reason: 'policy' }],
    },
  });
});
