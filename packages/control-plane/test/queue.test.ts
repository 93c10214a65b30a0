import { expect, test } from 'vitest';
import { deploy, wideRoom } from './deployments-server.ts';
import { factsOf, statusOf } from './queue-facts.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

test('a deployment goes from queued over accepted and running to succeeded', async () => {
  const stack = await server.makeStack('way-of-a-run');
  const { id, version } = await deploy(server, stack, {
    operationContext: { environmentVariables: { REGION: 'eu', PASSWORD: { secret: 'hunter2-and-more' } } },
  });
  expect(version).toBe(1);
  expect(await statusOf(server, stack, id)).toBe('not-started');

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
  expect(await statusOf(server, stack, id)).toBe('accepted');

  const job = await run.job();
  expect(job.environment).toEqual({ REGION: 'eu', PASSWORD: 'hunter2-and-more' });
  expect(job.source).toEqual({ kind: 'git', repoUrl: 'https://git.example.com/shop.git', branch: 'main' });
  expect(job.secrets).toEqual(['hunter2-and-more', job.jobToken]);
  expect(await statusOf(server, stack, id)).toBe('running');

  await run.log(0, '# Get source', `with hunter2-and-more and ${job.jobToken}`);
  await run.steps({ name: 'Get source', status: 'succeeded', startedAt: null, updatedAt: null });
  await run.finish();
  expect(await statusOf(server, stack, id)).toBe('succeeded');
  expect(await factsOf(server, id)).toMatchObject({
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
