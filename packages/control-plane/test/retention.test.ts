import { startServer } from '@slipway/control-plane';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { removeOld } from '../src/retention.ts';
import { deploy, organization, TestRunner } from './deployments-server.ts';
import { TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

const list = z.object({ deployments: z.array(z.object({ version: z.number(), status: z.string() })) });
const versionsOf = async (stack: string) =>
  (await server.expectCall(list, 200, 'GET', `${stack}/deployments`)).deployments
    .map(({ version }) => version)
    .toSorted();

/** What the control plane would remove so many days from now. */
const removeIn = (days: number, keepRunsDays: number) => {
  const later = () => new Date(Date.now() + days * 24 * 60 * 60 * 1000);
  return removeOld({ ...server.server.controlPlane, now: later }, keepRunsDays, new AbortController().signal);
};

const countOf = async (table: string, column: string, id: string) => {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM ${sql.table(table)} WHERE ${sql.ref(column)} = ${id}`.execute(
    server.server.controlPlane.db,
  );
  return rows[0]?.count;
};

/** A run of a new deployment, which logs one line, makes an update with one event, and ends. */
async function runDeployment(stack: string): Promise<{ runId: string; updateId: string }> {
  await deploy(server, stack);
  const run = await (await TestRunner.register(server)).mustClaim();
  await run.log(0, '# Setup', 'a line');
  const update = await TestUpdate.start(server, stack, 'update', (await run.job()).jobToken);
  const event = { sequence: 0, timestamp: 1, stdoutEvent: { message: 'hello', color: 'never' } };
  await update.call('POST', 'events/batch', { events: [event] });
  await update.complete();
  await run.finish();
  return { runId: run.id, updateId: update.path.split('/').at(-1) ?? '' };
}

describe('with --keep-runs-days', () => {
  test('runs that finished earlier go with their logs and events; the newest of a stack and unfinished ones stay', async () => {
    const stack = await server.makeStack('kept');
    const first = await runDeployment(stack);
    const second = await runDeployment(stack);
    const quiet = await server.makeStack('quiet');
    const only = await runDeployment(quiet);
    await deploy(server, stack);

    await removeIn(29, 30);
    expect(await versionsOf(stack)).toEqual([1, 2, 3]);
    expect(await countOf('run_log_chunks', 'run_id', first.runId)).toBe(2);
    expect(await countOf('engine_events', 'update_id', first.updateId)).toBe(1);

    await removeIn(31, 30);
    // The third waits in the queue.
    expect(await versionsOf(stack)).toEqual([3]);
    expect(await versionsOf(quiet)).toEqual([1]);
    for (const { runId, updateId } of [first, second]) {
      expect(await countOf('run_log_chunks', 'run_id', runId)).toBe(0);
      expect(await countOf('engine_events', 'update_id', updateId)).toBe(0);
    }
    expect(await countOf('run_log_chunks', 'run_id', only.runId)).toBe(2);

    // The history of the stack is another matter: it tells how the state came to be.
    const history = await server.expectCall(
      z.object({ updates: z.unknown().array() }),
      200,
      'GET',
      `${stack}/updates`,
    );
    expect(history.updates).toHaveLength(2);
    const { version } = await deploy(server, stack);
    expect(version).toBe(4);
    // The one that was there was not seen for longer than runners are kept.
    const runner = await TestRunner.register(server);
    for (const _waiting of [3, 4]) await (await runner.mustClaim()).finish();
  });

  test('a control plane does so by itself when it starts', async () => {
    const stack = await server.makeStack('at-start');
    await runDeployment(stack);
    await runDeployment(stack);
    await sql`UPDATE runs SET finished_at = finished_at - interval '31 days' WHERE state = 'finished'`.execute(
      server.server.controlPlane.db,
    );
    const second = await startServer({
      ...{ dataDirectory: server.dataDirectory, host: '127.0.0.1', port: 0, organization },
      ...{ databaseUrl: server.databaseUrl, keepRunsDays: 30 },
    });
    await expect.poll(() => versionsOf(stack), { timeout: 10_000 }).toEqual([2]);
    await second.close();
  });
});

test('without it runs stay for ever', async () => {
  const stack = await server.makeStack('for-ever');
  const { runId, updateId } = await runDeployment(stack);
  await runDeployment(stack);
  await removeIn(10_000, 0);
  expect(await versionsOf(stack)).toEqual([1, 2]);
  expect(await countOf('run_log_chunks', 'run_id', runId)).toBe(2);
  expect(await countOf('engine_events', 'update_id', updateId)).toBe(1);
});

test('runners that were not seen for a week go, unless they hold a run; their runs stay', async () => {
  const stack = await server.makeStack('runners');
  const idle = await TestRunner.register(server);
  const busy = await TestRunner.register(server);
  await deploy(server, stack);
  const finished = await idle.mustClaim();
  await finished.finish();
  await deploy(server, stack);
  const held = await busy.mustClaim();
  await removeIn(6.9, 0);
  expect(await countOf('runners', 'id', idle.runnerId)).toBe(1);
  await removeIn(7.1, 0);
  expect(await countOf('runners', 'id', idle.runnerId)).toBe(0);
  expect(await countOf('runners', 'id', busy.runnerId)).toBe(1);
  expect(await versionsOf(stack)).toEqual([1, 2]);
  await held.finish();
  await removeIn(7.1, 0);
  expect(await countOf('runners', 'id', busy.runnerId)).toBe(0);
  // Who comes back after that registers again: the answer says so.
  await expect(busy.claim()).rejects.toThrow(/404.*register again/);
});

test('updates that nobody started go after a day, and no others', async () => {
  const stack = await server.makeStack('unstarted');
  const unstarted = (await TestUpdate.create(server, stack)).split('/').at(-1) ?? '';
  const running = await TestUpdate.start(server, stack);
  await removeIn(0.9, 0);
  expect(await countOf('updates', 'id', unstarted)).toBe(1);
  await removeIn(1.1, 0);
  expect(await countOf('updates', 'id', unstarted)).toBe(0);
  expect(await running.checkpoint('still there')).toBe(204);
  await running.complete();
  await removeIn(100, 0);
  expect(await countOf('updates', 'id', running.path.split('/').at(-1) ?? '')).toBe(1);
});

test('the deployments of a removed stack go after a day, also without it', async () => {
  const stack = await server.makeStack('removed');
  const { runId } = await runDeployment(stack);
  await server.expectCall(z.unknown(), 204, 'DELETE', `${stack}?force=true`);
  await removeIn(0.9, 0);
  expect(await countOf('runs', 'id', runId)).toBe(1);
  await removeIn(1.1, 0);
  expect(await countOf('runs', 'id', runId)).toBe(0);
  expect(await countOf('run_log_chunks', 'run_id', runId)).toBe(0);
});
