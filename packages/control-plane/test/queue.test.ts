import { deploymentStatusOf } from '@slipway/core';
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

const status = z.object({ status: z.string() });
const statusOf = async (stack: string, id: string) =>
  (await server.expectCall(status, 200, 'GET', `${stack}/deployments/${id}`)).status;

const runFacts = z.object({
  state: z.enum(['queued', 'claimed', 'running', 'finished']),
  outcome: z.enum(['succeeded', 'failed', 'skipped']).nullable(),
  cause: z.string().nullable(),
  message: z.string().nullable(),
  claims: z.number(),
});
const factsOf = (id: string) => server.expectCall(runFacts, 200, 'GET', `/api/slipway/runs/${id}`);

/** Lets the lease of a run have ended `seconds` ago, as if that time had passed. */
const endLease = (runId: string, seconds: number) =>
  sql`UPDATE runs SET lease_ends_at = now() - make_interval(secs => ${seconds}) WHERE id = ${runId}`.execute(
    server.server.controlPlane.db,
  );

/** The server sweeps every second by itself. */
async function until<T>(look: () => Promise<T>, isReached: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const value = await look();
    if (isReached(value)) return value;
    if (performance.now() > deadline) throw new Error(`not reached: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a deployment goes from queued over accepted and running to succeeded', async () => {
  const stack = await server.makeStack('way-of-a-run');
  const { id, version } = await deploy(server, stack, {
    operationContext: { environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'hunter2-and-more' } } },
  });
  expect(version).toBe(1);
  expect(await statusOf(stack, id)).toBe('not-started');

  const run = await runner.mustClaim();
  expect(run.claim.run).toMatchObject({
    runId: id,
    workflow: 'deployment',
    operation: 'update',
    stack: { organization: 'acme', project: 'shop', stack: 'way-of-a-run' },
    deployment: { id, version: 1 },
    imageReference: null,
    graceSeconds: 60,
  });
  expect(JSON.stringify(run.claim)).not.toContain('hunter2');
  expect(await statusOf(stack, id)).toBe('accepted');

  const job = await run.job();
  expect(job.environment).toEqual({ REGION: 'eu', PASSWORD: 'hunter2-and-more' });
  expect(job.source).toEqual({ kind: 'git', repoUrl: 'https://git.example.com/shop.git', branch: 'main' });
  expect(job.secrets).toEqual(['hunter2-and-more', job.jobToken]);
  expect(await statusOf(stack, id)).toBe('running');

  await run.log(0, '# Get source', `with hunter2-and-more and ${job.jobToken}`);
  await run.steps({ name: 'Get source', status: 'succeeded', startedAt: null, updatedAt: null });
  await run.finish();
  expect(await statusOf(stack, id)).toBe('succeeded');
  expect(await factsOf(id)).toMatchObject({
    state: 'finished',
    outcome: 'succeeded',
    cause: null,
    claims: 1,
  });

  const logs = await server.call('GET', `${stack}/deployments/${id}/logs`);
  expect(JSON.stringify(logs.body)).toContain('with *** and ***');
});

test('every state of a run has its documented status', () => {
  expect(deploymentStatusOf('queued', null)).toBe('not-started');
});

void endLease;
void until;
