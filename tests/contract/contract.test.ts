import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import {
  deploy,
  startTestServer,
  TestRunner,
  type TestServer,
} from '../../packages/control-plane/test/deployments-server.ts';
import { documentedOperations, objectionTo } from './document.ts';

const stackOperations = '/api/stacks/{orgName}/{projectName}/{stackName}/deployments';
const covered = new Set<string>();

let server: TestServer;
let stack: string;
beforeAll(async () => {
  server = await startTestServer();
  stack = await server.makeStack('contract');
});
afterAll(() => server.stop());
afterAll(() => {
  const known = documentedOperations.filter((operation) => covered.has(operation));
  console.log(
    `${known.length} of the document's ${documentedOperations.length} deployment operations are covered`,
  );
});

/** Calls an operation and holds its answer against the document. */
async function call(operation: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const [method = ''] = operation.split(' ');
  const answer = await server.call(method, path, body, { headers });
  expect(objectionTo(operation, answer.status, answer.body), JSON.stringify(answer.body)).toBeUndefined();
  covered.add(operation);
  return answer;
}

const sqlTime = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);
const rfcTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
const ciphertext = { ciphertext: expect.stringMatching(/^[A-Za-z0-9+/]{16,}={0,2}$/) };
const requestedBy = { name: 'Administrator', githubLogin: 'admin', email: '', avatarUrl: '' };

test('the comparison with the document finds what is wrong', () => {
  const operation = `GET ${stackOperations}/{deploymentId}`;
  const right = {
    ...{ id: 'i', version: 1, latestVersion: 1, status: 'running', created: '', modified: '' },
    requestedBy,
  };
  expect(objectionTo(operation, 200, right)).toBeUndefined();
  expect(objectionTo(operation, 200, { ...right, unknown: 1 })).toContain('additional properties');
  expect(objectionTo(operation, 200, { ...right, status: 'cancelled' })).toContain('allowed values');
  expect(objectionTo(operation, 200, {})).toContain("required property 'id'");
  expect(objectionTo(operation, 200, { ...right, requestedBy: { ...requestedBy, unknown: 1 } })).toContain(
    'requestedBy',
  );
  expect(objectionTo(operation, 418, right)).toContain('418');
  const logs = `GET ${stackOperations}/{deploymentId}/logs`;
  expect(
    objectionTo(logs, 200, { __type: 'DeploymentLogs', lines: [{ line: 'x\n', sequence: 1 }] }),
  ).toBeDefined();
});

test('settings', async () => {
  const path = `${stack}/deployments/settings`;
  const operation = (method: string) => `${method} ${stackOperations}/settings`;
  expect(await call(operation('GET'), path)).toMatchObject({ status: 404, body: { code: 404 } });
  const settings = {
    executorContext: {
      executorImage: {
        reference: 'registry/image',
        credentials: { username: 'u', password: { secret: 'p-secret' } },
      },
    },
    sourceContext: {
      git: {
        ...{ repoURL: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' },
        gitAuth: { basicAuth: { userName: 'git', password: { secret: 'g-secret' } } },
      },
    },
    gitHub: { repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    operationContext: {
      ...{ preRunCommands: ['date'], options: { skipInstallDependencies: true, shell: '/bin/bash' } },
      environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'e-secret' } },
      oidc: { aws: { roleArn: 'arn:x', sessionName: 's', duration: '1h0m0s' } },
    },
    cacheOptions: { enable: true },
  };
  const answered = {
    version: 1,
    source: 'api',
    executorContext: {
      executorImage: { reference: 'registry/image', credentials: { username: 'u', password: ciphertext } },
    },
    sourceContext: {
      git: {
        ...{ repoUrl: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' },
        gitAuth: { basicAuth: { userName: 'git', password: ciphertext } },
      },
    },
    gitHub: { repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    vcs: { provider: 'github', repository: 'acme/shop', deployCommits: true, pullRequestTemplate: false },
    operationContext: {
      ...{ preRunCommands: ['date'], options: { skipInstallDependencies: true, shell: '/bin/bash' } },
      environmentVariables: { REGION: 'eu', PASSWORD: ciphertext },
      oidc: { aws: { roleArn: 'arn:x', sessionName: 's', duration: '1h0m0s' } },
    },
    cacheOptions: { enable: true },
  };
  const put = await call(operation('PUT'), path, settings);
  expect(put).toEqual({ status: 200, body: answered });
  expect(await call(operation('GET'), path)).toEqual(put);
  const patch = {
    tag: 'later',
    gitHub: null,
    operationContext: { options: null, environmentVariables: { REGION: null } },
  };
  const provider = { 'x-pulumi-source': 'provider' };
  expect(await call(operation('POST'), path, patch, provider)).toEqual({
    status: 200,
    body: {
      ...answered,
      ...{ version: 2, source: 'provider', tag: 'later', gitHub: undefined, vcs: undefined },
      operationContext: {
        ...{ preRunCommands: ['date'], oidc: answered.operationContext.oidc },
        environmentVariables: { PASSWORD: ciphertext },
      },
    },
  });
  expect(await call(`POST ${stackOperations}/settings/encrypt`, `${path}/encrypt`, { secret: 'x' })).toEqual({
    status: 200,
    body: ciphertext,
  });
  expect(await call(`POST ${stackOperations}/settings/encrypt`, `${path}/encrypt`, {})).toMatchObject({
    status: 400,
  });
  expect(await call(operation('POST'), path, { agentPoolID: 'nowhere' })).toMatchObject({ status: 400 });
  expect(await call(operation('DELETE'), path)).toEqual({ status: 200, body: true });
  expect(await call(operation('DELETE'), path)).toEqual({ status: 200, body: false });
});

test('a deployment from its request to its end', async () => {
  const one = `GET ${stackOperations}/{deploymentId}`;
  const request = {
    operation: 'update',
    inheritSettings: true,
    executorContext: { workingDirectory: '' },
    sourceContext: { git: { repoUrl: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' } },
    operationContext: {
      ...{ preRunCommands: [], operation: '' },
      environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'the-password' } },
    },
    agentPoolID: null,
  };
  const initiator = { 'x-pulumi-deployment-initiator': 'automation-api' };
  const created = await call(`POST ${stackOperations}`, `${stack}/deployments`, request, initiator);
  expect(created).toEqual({ status: 202, body: { id: uuid, version: 1, consoleUrl: '' } });
  const { id } = z.object({ id: z.string() }).parse(created.body);
  const path = `${stack}/deployments/${id}`;
  const configuration = {
    environmentVariables: [
      { name: 'REGION', secret: false, value: 'eu' },
      { name: 'PASSWORD', secret: true },
    ],
    source: { git: { repoURL: 'https://git.example.com/shop.git', branch: 'main', repoDir: 'infra' } },
  };
  const queued = {
    ...{ id, version: 1, latestVersion: 1, status: 'not-started', pulumiOperation: 'update' },
    ...{ created: sqlTime, modified: sqlTime, initiator: 'automation-api', requestedBy, configuration },
  };
  expect(await call(one, path)).toEqual({ status: 200, body: queued });
  expect(await call(`GET ${stackOperations}/version/{version}`, `${stack}/deployments/version/1`)).toEqual({
    status: 200,
    body: queued,
  });

  const runner = await TestRunner.register(server);
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  const authorization = `token ${jobToken}`;
  const { updateID } = await server.expectCall(
    ...([z.object({ updateID: z.string() }), 200, 'POST', `${stack}/update`] as const),
    { config: {}, metadata: { message: 'from the run', environment: { 'ci.system': 'x' } } },
    { authorization },
  );
  await server.expectCall(z.unknown(), 200, 'POST', `${stack}/update/${updateID}`, {}, { authorization });
  const update = {
    ...{ kind: 'update', version: 1, message: 'from the run', environment: { 'ci.system': 'x' } },
    ...{ result: 'in-progress', startTime: expect.any(Number), endTime: 0 },
  };
  expect(await call(`GET ${stackOperations}/{deploymentId}/updates`, `${path}/updates`)).toEqual({
    status: 200,
    body: [
      {
        ...{ updateID, version: 1, latestVersion: 1, info: { ...update, config: {} } },
        requestedBy: { name: 'Slipway run', githubLogin: 'slipway-run', avatarUrl: '' },
      },
    ],
  });

  await run.log(0, '# Get source', 'cloned');
  const started = new Date().toISOString();
  await run.steps(
    { name: 'Get source', status: 'succeeded', startedAt: started, updatedAt: started },
    { name: 'pulumi update', status: 'not-started', startedAt: null, updatedAt: null },
  );
  const logs = `GET ${stackOperations}/{deploymentId}/logs`;
  expect(await call(logs, `${path}/logs`)).toEqual({
    status: 200,
    body: {
      __type: 'DeploymentLogs',
      lines: [
        { header: 'Get source', timestamp: '0001-01-01T00:00:00Z' },
        { line: 'cloned\n', timestamp: rfcTime },
      ],
      nextToken: '0.0.2',
    },
  });
  expect(await call(logs, `${path}/logs?job=0&step=0`)).toEqual({
    status: 200,
    body: {
      ...{ __type: 'DeploymentLogsStep', name: 'Get source', nextOffset: 1 },
      lines: [{ line: 'cloned\n', timestamp: rfcTime }],
    },
  });
  expect(await call(logs, `${path}/logs?job=0&step=0&count=500`)).toMatchObject({ status: 400 });

  expect(await call(`POST ${stackOperations}/{deploymentId}/cancel`, `${path}/cancel`)).toEqual({
    status: 200,
    body: {},
  });
  await run.finish({ outcome: 'failed', cause: 'cancelled' });
  const job = {
    ...{ status: 'failed', started: rfcTime, lastUpdated: rfcTime },
    steps: [
      { name: 'Get source', status: 'succeeded', started, lastUpdated: started },
      { name: 'pulumi update', status: 'not-started' },
    ],
  };
  expect(await call(one, path)).toEqual({ status: 200, body: { ...queued, status: 'failed', jobs: [job] } });
  const list = {
    itemsPerPage: 10,
    total: 1,
    deployments: [
      {
        ...{
          id,
          version: 1,
          status: 'failed',
          pulumiOperation: 'update',
          initiator: 'automation-api',
          requestedBy,
        },
        ...{ created: sqlTime, modified: sqlTime, projectName: 'shop', stackName: 'contract', paused: false },
        ...{ agentPool: { id: uuid, name: 'default' }, jobs: [job] },
        updates: [{ ...update, id: updateID, updateID, result: 'failed', endTime: expect.any(Number) }],
      },
    ],
  };
  expect(await call(`GET ${stackOperations}`, `${stack}/deployments`)).toEqual({ status: 200, body: list });
  expect(await call('GET /api/orgs/{orgName}/deployments', '/api/orgs/acme/deployments')).toEqual({
    status: 200,
    body: list,
  });
});

test('what is not there answers 404, what is wrong 400', async () => {
  const nowhere = crypto.randomUUID();
  expect(
    await call(`GET ${stackOperations}/{deploymentId}`, `${stack}/deployments/${nowhere}`),
  ).toMatchObject({ status: 404 });
  expect(await call(`GET ${stackOperations}/{deploymentId}`, `${stack}/deployments/no-uuid`)).toMatchObject({
    status: 404,
  });
  expect(
    await call(`POST ${stackOperations}/{deploymentId}/cancel`, `${stack}/deployments/${nowhere}/cancel`),
  ).toMatchObject({ status: 404 });
  expect(await call(`GET ${stackOperations}`, '/api/stacks/acme/shop/missing/deployments')).toMatchObject({
    status: 404,
  });
  expect(await call(`GET ${stackOperations}`, `${stack}/deployments?pageSize=101`)).toMatchObject({
    status: 400,
  });
  expect(await call(`GET ${stackOperations}`, `${stack}/deployments?sort=colour`)).toMatchObject({
    status: 400,
  });
  expect(await call('GET /api/orgs/{orgName}/deployments', '/api/orgs/other/deployments')).toMatchObject({
    status: 404,
  });
});

test('agent pools', async () => {
  const path = '/api/orgs/acme/agent-pools';
  const operations = '/api/orgs/{orgName}/agent-pools';
  const created = await call(`POST ${operations}`, path, { name: 'gpu', description: 'large ones' });
  expect(created).toEqual({
    status: 200,
    body: { id: uuid, tokenValue: expect.stringMatching(/^slp-pool-/) },
  });
  const { id, tokenValue } = z.object({ id: z.string(), tokenValue: z.string() }).parse(created.body);
  const pool = { id, name: 'gpu', description: 'large ones', created: expect.any(Number) };
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toEqual({
    status: 200,
    body: { ...pool, agents: [] },
  });
  const runner = await TestRunner.register(server, tokenValue);
  expect(await call(`GET ${operations}`, path)).toEqual({
    status: 200,
    body: {
      defaultAgentPoolID: uuid,
      agentPools: [
        expect.objectContaining({ name: 'default', isDefault: true }),
        { ...pool, isDefault: false, lastSeen: expect.any(Number), status: 'online' },
      ],
    },
  });
  const agent = {
    ...{ hostname: 'runner-host', pid: '4711', version: '0.1.0', platform: 'linux/amd64', ip: '127.0.0.1' },
    ...{ lastSeen: expect.any(Number), status: 'online' },
  };
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({
    body: { agents: [agent] },
  });
  expect(await call(`PATCH ${operations}/{poolId}`, `${path}/${id}`, { name: 'gpus' })).toEqual({
    status: 200,
    body: { name: 'gpus', description: 'large ones' },
  });

  await deploy(server, stack, { agentPoolID: id });
  const elsewhere = await TestRunner.register(server);
  expect(await elsewhere.claim(), 'a run of another pool').toBeUndefined();
  const run = await runner.mustClaim();
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}?force=true`)).toMatchObject({
    status: 400,
  });
  await run.finish();

  await server.call('POST', `${stack}/deployments/settings`, { agentPoolID: id });
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({ status: 400 });
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}?force=true`)).toEqual({
    status: 204,
    body: undefined,
  });
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({ status: 404 });
});

test('the dependency cache of a project is cleared', async () => {
  const operation = `DELETE ${stackOperations}/cache`;
  expect(await call(operation, `${stack}/deployments/cache`)).toEqual({ status: 200, body: undefined });
  const missing = stack.replace(/[^/]+$/, 'not-there');
  expect(await call(operation, `${missing}/deployments/cache`)).toMatchObject({ status: 404 });
});
