import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { TestRunner } from '../../packages/control-plane/test/deployments-server.ts';
import {
  type DocumentedServer,
  requestedBy,
  rfcTime,
  sqlTime,
  stackOperations,
  startDocumentedServer,
  uuid,
} from './documented-server.ts';

let documented: DocumentedServer;
beforeAll(async () => {
  documented = await startDocumentedServer('contract');
});
afterAll(() => documented?.stop());

test('a deployment from its request to its end', async () => {
  const { server, call, stack } = documented;
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
