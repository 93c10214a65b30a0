import type { LogLine } from '@slipway/core';
import { runnerContractPath } from '@slipway/core';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { recoverLostRuns } from '../src/queue/index.ts';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const page = z.object({ lines: z.array(z.object({ line: z.string().optional() })) });
const runFacts = z.object({ state: z.string(), cause: z.string().nullable() });
const database = () => server.server.controlPlane.db;

/** A run whose job was handed out, unless told otherwise, and which has logged two lines. */
async function startRun(name: string, { hasJob = true } = {}) {
  const stack = await server.makeStack(name);
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const jobToken = hasJob ? (await run.job()).jobToken : '';
  await run.log(0, 'one', 'two');
  const path = `${stack}/deployments/${id}`;
  return {
    ...{ stack, run, jobToken },
    facts: () => server.expectCall(runFacts, 200, 'GET', `/api/slipway/runs/${id}`),
    log: async () =>
      (await server.expectCall(page, 200, 'GET', `${path}/logs`)).lines.map(({ line }) => line?.trim() ?? ''),
    late: (call: string, body: object = {}) =>
      server.call('POST', `${runnerContractPath}/${call}`, body, {
        authorization: `delivery ${run.claim.deliveryToken}`,
      }),
  };
}

const line = (sequence: number, text = `late ${sequence}`): LogLine => {
  return { sequence, step: 0, kind: 'line', timestamp: new Date().toISOString(), text };
};

async function loseRunner(run: TestRun): Promise<void> {
  await sql`UPDATE runs SET lease_ends_at = now() - interval '1 hour' WHERE id = ${run.id}`.execute(
    database(),
  );
  await recoverLostRuns(server.server.controlPlane);
}

const lastWords = expect.stringMatching(/^The runner gave no sign of life/);

test('lines that come when the run was taken from its runner are stored once, before the cause', async () => {
  const { run, facts, log, late } = await startRun('fenced');
  await loseRunner(run);
  expect(await facts()).toEqual({ state: 'finished', cause: 'runner-lost' });
  expect(await run.call('log', { lines: [line(3)] })).toMatchObject({ status: 409 });
  expect(await log()).toEqual(['one', 'two', lastWords]);

  // The runner does not know which of its lines arrived, nor whether an answer was lost.
  expect(await late('late-log', { lines: [line(2, 'two'), line(3)] })).toMatchObject({ status: 204 });
  expect(await late('late-log', { lines: [line(3), line(4)] })).toMatchObject({ status: 204 });
  expect(await late('lost')).toMatchObject({ status: 204 });
  expect(await log()).toEqual(['one', 'two', 'late 3', 'late 4', lastWords]);
  expect(await facts()).toEqual({ state: 'finished', cause: 'runner-lost' });

  for (const call of ['late-log', 'lost']) {
    expect(await late(call, { lines: [line(5)] }), call).toMatchObject({ status: 409 });
  }
});

test('a runner that says that it was lost frees the stack at once, and its lease is over', async () => {
  const { stack, run, facts, log, late } = await startRun('at-once');
  const { id: next } = await deploy(server, stack);
  await late('late-log', { lines: [line(3)] });
  expect(await facts()).toEqual({ state: 'running', cause: null });
  expect(await runner.claim()).toBeUndefined();
  await late('lost');
  expect(await facts()).toEqual({ state: 'finished', cause: 'runner-lost' });
  expect(await log()).toEqual(['one', 'two', 'late 3', lastWords]);
  for (const call of ['heartbeat', 'finish']) {
    expect(
      await run.call(call, { outcome: 'succeeded', phaseMilliseconds: {}, lastSequence: 3 }),
    ).toMatchObject({
      status: 409,
    });
  }
  const claimed = await runner.mustClaim();
  expect(claimed.id).toBe(next);
  await claimed.finish();
});

test('a run that was lost before its job was handed out is begun anew, and knows nothing of old lines', async () => {
  const { run, facts, log, late } = await startRun('anew', { hasJob: false });
  await late('lost');
  expect(await facts()).toEqual({ state: 'queued', cause: null });
  expect(await late('late-log', { lines: [line(3)] })).toMatchObject({ status: 409 });
  const again = await runner.mustClaim();
  expect(again.id).toBe(run.id);
  expect(again.claim.deliveryToken).not.toBe(run.claim.deliveryToken);
  expect(await late('lost')).toMatchObject({ status: 409 });
  await again.log(0, 'begun anew');
  await again.finish();
  expect(await log()).toEqual(['begun anew']);
  const { rows } = await sql`SELECT line_count FROM run_log_blocks WHERE run_id = ${run.id}`.execute(
    database(),
  );
  expect(rows).toEqual([{ line_count: 1 }]);
});

test('a run that its runner has finished takes no late lines', async () => {
  const { run, late, log } = await startRun('in-order');
  await run.finish();
  expect(await late('late-log', { lines: [line(3)] })).toMatchObject({ status: 409 });
  expect(await late('lost')).toMatchObject({ status: 409 });
  expect(await log()).toEqual(['one', 'two']);
});

test('a delivery token opens nothing else, and a lease token delivers nothing', async () => {
  const { run, late } = await startRun('narrow');
  for (const call of ['job', 'heartbeat', 'log', 'steps', 'finish', 'image-credentials', 'claim']) {
    expect((await late(call)).status, call).toBe(401);
    const authorization = `${call === 'claim' ? 'token' : 'lease'} ${run.claim.deliveryToken}`;
    const disguised = await server.call('POST', `${runnerContractPath}/${call}`, {}, { authorization });
    expect([401, 409], call).toContain(disguised.status);
  }
  expect(
    (await server.call('GET', '/api/user', undefined, { authorization: `token ${run.claim.deliveryToken}` }))
      .status,
  ).toBe(401);
  const authorization = `delivery ${run.claim.leaseToken}`;
  expect((await server.call('POST', `${runnerContractPath}/lost`, {}, { authorization })).status).toBe(409);
  await run.finish();
});

test('secrets that the run has decrypted are hidden in late lines as well, and forgotten after them', async () => {
  const { stack, run, jobToken, log, late } = await startRun('secret');
  const plaintext = Buffer.from('correct horse battery staple').toString('base64');
  await server.call('POST', `${stack}/encrypt`, { plaintext }, { authorization: `token ${jobToken}` });
  await loseRunner(run);
  await late('late-log', { lines: [line(3, 'it is correct horse battery staple')] });
  expect(await log()).toEqual(['one', 'two', 'it is ***', lastWords]);
  const kept = () => sql`SELECT FROM run_secrets WHERE run_id = ${run.id}`.execute(database());
  expect((await kept()).rows).not.toHaveLength(0);
  await late('lost');
  expect((await kept()).rows).toHaveLength(0);
});

test('a day after the end nobody waits any more', async () => {
  const { run, log, late } = await startRun('overdue');
  await loseRunner(run);
  await sql`UPDATE runs SET finished_at = finished_at - interval '23 hours 59 minutes' WHERE id = ${run.id}`.execute(
    database(),
  );
  await recoveredAgain();
  expect(await late('late-log', { lines: [line(3)] })).toMatchObject({ status: 204 });
  await sql`UPDATE runs SET finished_at = finished_at - interval '1 minute' WHERE id = ${run.id}`.execute(
    database(),
  );
  await recoveredAgain();
  expect(await late('late-log', { lines: [line(4)] })).toMatchObject({ status: 409 });
  expect(await log()).toEqual(['one', 'two', 'late 3', lastWords]);
  const { rows } = await sql`SELECT FROM run_secrets WHERE run_id = ${run.id}`.execute(database());
  expect(rows).toHaveLength(0);
});

/** The server looks for what is overdue every second. */
const recoveredAgain = () => new Promise((resolve) => setTimeout(resolve, 1_500));

test('late lines count for the length of the log as all others do, lines that come again do not, and behind the end comes none', async () => {
  const { run, log, late } = await startRun('long');
  await sql`UPDATE runs SET granted_sandbox = jsonb_set(granted_sandbox::jsonb, '{logMiB}', '1')::text WHERE id = ${run.id}`.execute(
    database(),
  );
  await loseRunner(run);
  const large = [line(3, 'x'.repeat(600_000))];
  for (let time = 0; time < 5; time += 1) await late('late-log', { lines: large });
  await late('late-log', { lines: [line(4)] });
  await late('late-log', { lines: [line(5, 'y'.repeat(600_000))] });
  await late('late-log', { lines: [line(6)] });
  expect((await log()).map((text) => text.slice(0, 6))).toEqual(['one', 'two', 'xxxxxx', 'late 4', 'The ru']);
});
