import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { deploy } from './deployments-server.ts';
import { endLease, factsOf, factsOnceIt, statusOf } from './queue-facts.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

test('cancelling a queued run ends it at once; it never reaches a runner', async () => {
  const stack = await server.makeStack('cancel-queued');
  const { id } = await deploy(server, stack);
  for (let time = 0; time < 2; time += 1) {
    expect(await server.call('POST', `${stack}/deployments/${id}/cancel`)).toMatchObject({ status: 200 });
  }
  expect(await statusOf(server, stack, id)).toBe('failed');
  expect(await factsOf(server, id)).toMatchObject({ state: 'finished', cause: 'cancelled', claims: 0 });
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
  expect(await statusOf(server, stack, id)).toBe('running');
  await run.finish({ outcome: 'failed', cause: 'cancelled' });
  expect(await statusOf(server, stack, id)).toBe('failed');
  expect(await server.call('POST', `${stack}/deployments/${id}/cancel`)).toMatchObject({ status: 200 });
  expect(await factsOf(server, id)).toMatchObject({ cause: 'cancelled' });
});

test('a claimed run that is cancelled and then lost is not queued again', async () => {
  const stack = await server.makeStack('cancelled-and-lost');
  const { id } = await deploy(server, stack);
  await runner.mustClaim();
  await server.call('POST', `${stack}/deployments/${id}/cancel`);
  await endLease(server, id, 11);
  const facts = await factsOnceIt(server, id, 'finished');
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
