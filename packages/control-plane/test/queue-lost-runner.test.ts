import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy } from './deployments-server.ts';
import { endLease, factsOf, factsOnceIt, statusOf } from './queue-facts.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const finishing = { outcome: 'succeeded', phaseMilliseconds: {}, lastSequence: 0 };

test('a run that was lost before its job was handed out is queued again, three times', async () => {
  const stack = await server.makeStack('lost-before-job');
  const { id } = await deploy(server, stack);
  const { id: behind } = await deploy(server, stack);
  for (let loss = 1; loss <= 3; loss += 1) {
    const run = await runner.mustClaim();
    expect(run.id, 'it is the head of its lane again').toBe(id);
    await run.log(0, `# Setup by runner ${loss}`);
    await endLease(server, id, 11);
    await factsOnceIt(server, id, 'queued');
    expect(await run.call('heartbeat')).toMatchObject({ status: 409 });
  }
  const last = await runner.mustClaim();
  await endLease(server, last.id, 11);
  const facts = await factsOnceIt(server, id, 'finished');
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
  await endLease(server, id, 11);
  const facts = await factsOnceIt(server, id, 'finished');
  expect(facts).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
  expect(await statusOf(server, stack, id)).toBe('failed');

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
  await endLease(server, id, 8);
  await new Promise((resolve) => setTimeout(resolve, 1300));
  expect(await factsOf(server, id)).toMatchObject({ state: 'claimed' });
  expect(await run.heartbeat()).toEqual({});
  const { rows } = await sql<{ left: number }>`
    SELECT extract(epoch FROM lease_ends_at - now())::float8 AS left FROM runs WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  expect(rows[0]?.left).toBeGreaterThan(25);
  await run.finish();
});
