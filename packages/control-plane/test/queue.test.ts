import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, startTestServer, TestRunner, type TestServer, wideRoom } from './deployments-server.ts';

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

const finishing = { outcome: 'succeeded', phaseMilliseconds: {}, lastSequence: 0 };

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

test('a lost answer to claim is answered again, also when calls with one nonce arrive at once', async () => {
  const stacks = [await server.makeStack('lost-claim'), await server.makeStack('not-claimed-twice')];
  for (let round = 0; round < 15; round += 1) {
    for (const stack of stacks) await deploy(server, stack);
    const nonce = crypto.randomUUID();
    const claims = await Promise.all(Array.from({ length: 8 }, () => runner.mustClaim({ nonce })));
    expect(new Set(claims.map((run) => run.id)).size).toBe(1);
    expect(new Set(claims.map((run) => run.claim.leaseToken)).size).toBe(1);
    await claims[0]?.finish();
    const next = await runner.mustClaim({ nonce });
    expect(next.id).not.toBe(claims[0]?.id);
    expect(next.claim.leaseToken).not.toBe(claims[0]?.claim.leaseToken);
    await next.finish();
  }
});

test('a lost answer to job, steps, log or finish can be asked for again', async () => {
  const stack = await server.makeStack('lost-answers');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  expect(await run.job()).toEqual(await run.job());
  const lines = [
    {
      sequence: 1,
      step: 0,
      kind: 'line',
      timestamp: new Date().toISOString(),
      text: '\u001b[31monce\0 \u001b[1Aonly',
    },
  ];
  for (let time = 0; time < 3; time += 1)
    expect(await run.call('log', { lines })).toMatchObject({ status: 200 });
  const steps = [{ name: 'Setup', status: 'running', startedAt: null, updatedAt: null }];
  for (let time = 0; time < 2; time += 1)
    expect(await run.call('steps', { steps })).toMatchObject({ status: 200 });
  const { body } = await server.call('GET', `${stack}/deployments/${id}/logs`);
  expect(body).toMatchObject({ lines: [{ line: '\u001b[31monce\uFFFD ␛[1Aonly\n' }] });
  await run.finish({ lastSequence: 1 });
  await run.finish({ lastSequence: 1 });
  expect(await run.call('heartbeat')).toMatchObject({ status: 409, body: { code: 409 } });
  expect(await run.call('log', { lines })).toMatchObject({ status: 409 });
});

test('runs of a stack wait for each other, runs of different stacks do not', async () => {
  const one = await server.makeStack('lane-one');
  const two = await server.makeStack('lane-two');
  const first = await deploy(server, one);
  const second = await deploy(server, one);
  const elsewhere = await deploy(server, two);
  const held = await runner.mustClaim();
  expect(held.id).toBe(first.id);
  const beside = await runner.mustClaim();
  expect(beside.id).toBe(elsewhere.id);
  expect(await runner.claim()).toBeUndefined();
  await held.finish();
  const next = await runner.mustClaim();
  expect(next.id).toBe(second.id);
  await next.finish();
  await beside.finish();
});

test('a waiting claim wakes when a run is queued, and when a stack becomes free', async () => {
  const stack = await server.makeStack('wake-up');
  const waitingForRun = runner.mustClaim({ waitSeconds: 20 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const queuedAt = performance.now();
  await deploy(server, stack);
  const run = await waitingForRun;
  expect(performance.now() - queuedAt).toBeLessThan(1000);

  await deploy(server, stack);
  const waitingForStack = runner.mustClaim({ waitSeconds: 20 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const finishedAt = performance.now();
  await run.finish();
  const next = await waitingForStack;
  expect(performance.now() - finishedAt).toBeLessThan(1000);
  await next.finish();
});

test('a claim without work ends after the time that was asked for', async () => {
  const startedAt = performance.now();
  expect(await runner.claim({ waitSeconds: 1 })).toBeUndefined();
  expect(performance.now() - startedAt).toBeGreaterThan(900);
  expect(performance.now() - startedAt).toBeLessThan(3000);
});

test('a run that was lost before its job was handed out is queued again, three times', async () => {
  const stack = await server.makeStack('lost-before-job');
  const { id } = await deploy(server, stack);
  const { id: behind } = await deploy(server, stack);
  for (let loss = 1; loss <= 3; loss += 1) {
    const run = await runner.mustClaim();
    expect(run.id, 'it is the head of its lane again').toBe(id);
    await run.log(0, `# Setup by runner ${loss}`);
    await endLease(id, 11);
    await until(
      () => factsOf(id),
      ({ state }) => state === 'queued',
    );
    expect(await run.call('heartbeat')).toMatchObject({ status: 409 });
  }
  const last = await runner.mustClaim();
  await endLease(last.id, 11);
  const facts = await until(
    () => factsOf(id),
    ({ state }) => state === 'finished',
  );
  expect(facts).toMatchObject({ outcome: 'failed', cause: 'runner-lost', claims: 4 });
  const next = await runner.mustClaim();
  expect(next.id).toBe(behind);
  await next.finish();
});

test('a run that was lost after its job was handed out fails, and its stack is free', async () => {
  const stack = await server.makeStack('lost-after-job');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const job = await run.job();
  const jobCalls = { authorization: `token ${job.jobToken}` };
  const { updateID } = await server.expectCall(
    ...([
      z.object({ updateID: z.string() }),
      200,
      'POST',
      `${stack}/update`,
      { config: {} },
      jobCalls,
    ] as const),
  );
  await server.expectCall(z.unknown(), 200, 'POST', `${stack}/update/${updateID}`, {}, jobCalls);
  await endLease(id, 11);
  const facts = await until(
    () => factsOf(id),
    ({ state }) => state === 'finished',
  );
  expect(facts).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
  expect(await statusOf(stack, id)).toBe('failed');

  expect(await run.call('heartbeat')).toMatchObject({ status: 409 });
  expect(await run.call('job')).toMatchObject({ status: 409 });
  expect(await run.call('finish', finishing)).toMatchObject({ status: 409 });
  expect(await server.call('GET', stack, undefined, jobCalls)).toMatchObject({ status: 401 });
  const updates = await server.call('GET', `${stack}/deployments/${id}/updates`);
  expect(updates.body).toMatchObject([{ updateID, info: { kind: 'update', result: 'failed' } }]);
  const logs = await server.call('GET', `${stack}/deployments/${id}/logs`);
  expect(JSON.stringify(logs.body)).toContain('gave no sign of life');

  await deploy(server, stack);
  const next = await runner.mustClaim();
  await next.finish();
});

test('a lease that ended is not taken away before its margin has passed, and a sign of life renews it', async () => {
  const stack = await server.makeStack('margin');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  await endLease(id, 8);
  await new Promise((resolve) => setTimeout(resolve, 1300));
  expect(await factsOf(id)).toMatchObject({ state: 'claimed' });
  expect(await run.heartbeat()).toEqual({});
  const { rows } = await sql<{ left: number }>`
    SELECT extract(epoch FROM lease_ends_at - now())::float8 AS left FROM runs WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  expect(rows[0]?.left).toBeGreaterThan(25);
  await run.finish();
});

test('cancelling a queued run ends it at once; it never reaches a runner', async () => {
  const stack = await server.makeStack('cancel-queued');
  const { id } = await deploy(server, stack);
  for (let time = 0; time < 2; time += 1) {
    expect(await server.call('POST', `${stack}/deployments/${id}/cancel`)).toMatchObject({ status: 200 });
  }
  expect(await statusOf(stack, id)).toBe('failed');
  expect(await factsOf(id)).toMatchObject({ state: 'finished', cause: 'cancelled', claims: 0 });
  const logs = await server.call('GET', `${stack}/deployments/${id}/logs`);
  expect(logs.body).toMatchObject({ lines: [{ line: expect.stringContaining('was cancelled') }] });
  expect(logs.body).not.toHaveProperty('nextToken');
  expect(await runner.claim()).toBeUndefined();
});

test('cancelling a run that a runner holds asks that runner, with every answer, until it finishes', async () => {
  const stack = await server.makeStack('cancel-running');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  await run.job();
  expect(await run.heartbeat()).toEqual({});
  for (let time = 0; time < 2; time += 1) {
    expect(await server.call('POST', `${stack}/deployments/${id}/cancel`)).toMatchObject({ status: 200 });
  }
  expect(await run.heartbeat()).toEqual({ command: 'cancel' });
  expect((await run.call('log', { lines: [] })).body).toEqual({ command: 'cancel' });
  expect((await run.call('steps', { steps: [] })).body).toEqual({ command: 'cancel' });
  expect(await statusOf(stack, id)).toBe('running');
  await run.finish({ outcome: 'failed', cause: 'cancelled' });
  expect(await statusOf(stack, id)).toBe('failed');
  expect(await server.call('POST', `${stack}/deployments/${id}/cancel`)).toMatchObject({ status: 200 });
  expect(await factsOf(id)).toMatchObject({ cause: 'cancelled' });
});

test('a claimed run that is cancelled and then lost is not queued again', async () => {
  const stack = await server.makeStack('cancelled-and-lost');
  const { id } = await deploy(server, stack);
  await runner.mustClaim();
  await server.call('POST', `${stack}/deployments/${id}/cancel`);
  await endLease(id, 11);
  const facts = await until(
    () => factsOf(id),
    ({ state }) => state === 'finished',
  );
  expect(facts).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
});

test('a queued run whose stack was removed is skipped', async () => {
  const stack = await server.makeStack('removed');
  const { id } = await deploy(server, stack);
  expect(await server.call('DELETE', `${stack}?force=true`)).toMatchObject({ status: 204 });
  expect(await runner.claim()).toBeUndefined();
  const { rows } = await sql<{ outcome: string }>`SELECT outcome FROM runs WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  expect(rows).toEqual([{ outcome: 'skipped' }]);
});

test('the runner contract refuses wrong tokens and wrong bodies', async () => {
  const stack = await server.makeStack('refusals');
  await deploy(server, stack);
  const claim = {
    runnerId: runner.runnerId,
    nonce: 'n'.repeat(16),
    platform: 'linux/amd64',
    isolation: 'vm',
    capacity: wideRoom,
    isPaused: false,
  };
  const post = (name: string, body: unknown, authorization: string) =>
    server.call('POST', `/api/slipway/runner/v1/${name}`, body, { authorization });
  const { adminToken, poolToken } = server.server;
  expect(await post('claim', { ...claim, waitSeconds: 0 }, `token ${adminToken}`)).toMatchObject({
    status: 401,
  });
  expect(await post('claim', { ...claim, waitSeconds: 31 }, `token ${poolToken}`)).toMatchObject({
    status: 400,
  });
  expect(await post('claim', '{"runnerId":', `token ${poolToken}`)).toMatchObject({ status: 400 });
  const stranger = { ...claim, runnerId: crypto.randomUUID(), waitSeconds: 0 };
  expect(await post('claim', stranger, `token ${poolToken}`)).toMatchObject({ status: 404 });
  expect(await post('heartbeat', {}, 'lease nonsense')).toMatchObject({ status: 409 });
  expect(await post('heartbeat', {}, `token ${poolToken}`)).toMatchObject({ status: 401 });
  expect(await server.call('GET', stack, undefined, { authorization: `token ${poolToken}` })).toMatchObject({
    status: 401,
  });
  await (await runner.mustClaim()).finish();
});
