import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import {
  deploy,
  startTestServer,
  TestRunner,
  type TestServer,
} from '../../packages/control-plane/test/deployments-server.ts';
import { objectionTo } from './document.ts';

const driftOf = '/api/stacks/{orgName}/{projectName}/{stackName}/drift';
const rfcTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);

let server: TestServer;
let stack: string;
beforeAll(async () => {
  server = await startTestServer();
  stack = await server.makeStack('drift');
});
afterAll(() => server.stop());

/** Calls an operation and holds its answer against the document. */
async function call(operation: string, path: string) {
  const answer = await server.call('GET', path);
  expect(objectionTo(operation, answer.status, answer.body), JSON.stringify(answer.body)).toBeUndefined();
  return answer;
}

/** An update that a run makes, from its creation to its end, with what its engine sums up. */
async function makeUpdate(jobToken: string, kind: string, dryRun: boolean, changes: Record<string, number>) {
  const authorization = `token ${jobToken}`;
  const { updateID } = await server.expectCall(
    z.object({ updateID: z.string() }),
    ...([200, 'POST', `${stack}/${kind}`, { options: { dryRun } }, { authorization }] as const),
  );
  const path = `${stack}/update/${updateID}`;
  const { token } = await server.expectCall(
    z.object({ token: z.string() }),
    200,
    'POST',
    path,
    {},
    { authorization },
  );
  const update = { authorization: `update-token ${token}` };
  const events = [{ sequence: 0, timestamp: 0, summaryEvent: { resourceChanges: changes } }];
  await server.expectCall(z.unknown(), 204, 'POST', `${path}/events/batch`, { events }, update);
  await server.expectCall(z.unknown(), 200, 'POST', `${path}/complete`, { status: 'succeeded' }, update);
  return updateID;
}

test('drift runs and drift status are answered as documented', async () => {
  const runner = await TestRunner.register(server);
  const status = { driftDetected: false, latestDriftRun: '', runInProgress: false };
  expect(await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).toEqual({ status: 200, body: status });
  const { id } = await deploy(server, stack, { operation: 'detect-drift' });
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  const updateId = await makeUpdate(jobToken, 'refresh', true, { same: 2, update: 1 });
  const found = { driftDetected: true, latestDriftRun: id, runInProgress: true };
  expect(await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).toEqual({ status: 200, body: found });
  const detected = {
    ...{
      id,
      created: rfcTime,
      deploymentId: id,
      deploymentVersion: 1,
      status: 'running',
      driftDetected: true,
    },
    detectUpdate: {
      updateId,
      status: 'succeeded',
      modified: rfcTime,
      resourceChanges: { same: 2, update: 1 },
    },
  };
  expect(await call(`GET ${driftOf}/runs/{driftRunId}`, `${stack}/drift/runs/${id}`)).toEqual({
    status: 200,
    body: detected,
  });
  const remediation = await makeUpdate(jobToken, 'update', false, { same: 2, update: 1 });
  await run.finish();
  expect(await call(`GET ${driftOf}/runs`, `${stack}/drift/runs?page=1&pageSize=5`)).toEqual({
    status: 200,
    body: {
      ...{ itemsPerPage: 5, total: 1 },
      driftRuns: [
        {
          ...detected,
          status: 'succeeded',
          remediateUpdate: { ...detected.detectUpdate, updateId: remediation },
        },
      ],
    },
  });
  const remediated = { ...found, driftDetected: false, runInProgress: false };
  expect(await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).toEqual({
    status: 200,
    body: remediated,
  });
});

test('a dry run of a refresh that a user makes counts, and a deployment of another kind is no drift run', async () => {
  stack = await server.makeStack('by-hand');
  await makeUpdate(server.server.adminToken, 'refresh', true, { delete: 1 });
  expect((await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).body).toMatchObject({
    driftDetected: true,
    latestDriftRun: '',
  });
  await makeUpdate(server.server.adminToken, 'update', false, { same: 1 });
  expect((await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).body).toMatchObject({
    driftDetected: true,
  });
  await makeUpdate(server.server.adminToken, 'refresh', false, { delete: 1 });
  expect((await call(`GET ${driftOf}/status`, `${stack}/drift/status`)).body).toMatchObject({
    driftDetected: false,
  });
  const { id } = await deploy(server, stack, { operation: 'update' });
  expect(await call(`GET ${driftOf}/runs/{driftRunId}`, `${stack}/drift/runs/${id}`)).toMatchObject({
    status: 404,
  });
  expect((await call(`GET ${driftOf}/runs`, `${stack}/drift/runs`)).body).toMatchObject({
    total: 0,
    driftRuns: [],
  });
});
