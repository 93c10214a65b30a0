import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { runnerContractPath } from '@slipway/core';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { recoverLostRuns } from '../src/queue/index.ts';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const database = () => server.server.controlPlane.db;

/** A run, and an update with a journal that the program in its sandbox has made. */
async function startHostileRun(name: string) {
  const stack = await server.makeStack(name);
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const authorization = `token ${(await run.job()).jobToken}`;
  const made = await server.expectCall(
    z.object({ updateID: z.string() }),
    200,
    'POST',
    `${stack}/update`,
    {},
    { authorization },
  );
  const path = `${stack}/update/${made.updateID}`;
  const started = z.object({ token: z.string() });
  const offer = { journalVersion: 1 };
  const { token } = await server.expectCall(started, 200, 'POST', path, offer, { authorization });
  const write = (method: string, call: string, body: object) =>
    server.call(method, `${path}/${call}`, body, { authorization: `update-token ${token}` });
  return { stack, deployment: `${stack}/deployments/${id}`, run, updateId: made.updateID, write };
}

/** Replayed, it is no state: a provider of secrets is an object. */
const entryOfNoState = { version: 1, kind: 6, sequenceID: 1, operationID: 1, secretsProvider: 5 };

test('a journal that makes no state ends its update as failed, and the stack stays as it was', async () => {
  const { stack, write } = await startHostileRun('no-state');
  expect(await write('PATCH', 'journalentries', { entries: [entryOfNoState] })).toMatchObject({
    status: 204,
  });
  expect(await write('POST', 'complete', { status: 'succeeded' })).toMatchObject({ status: 200 });
  const { body } = await server.call('GET', `${stack}/updates`);
  expect(body).toMatchObject({ updates: [{ result: 'failed' }] });
  expect(await server.call('GET', `${stack}/export`)).toMatchObject({ status: 200 });
});

test('a journal that makes no state does not keep lost runs from being recovered', async () => {
  const { deployment, run, write } = await startHostileRun('lost-with-no-state');
  await write('PATCH', 'journalentries', { entries: [entryOfNoState] });
  await sql`UPDATE runs SET lease_ends_at = now() - interval '1 hour' WHERE id = ${run.id}`.execute(
    database(),
  );
  await recoverLostRuns(server.server.controlPlane);
  expect((await server.call('GET', deployment)).body).toMatchObject({ status: 'failed' });
});

test('a journal grows to its bound and no further; what it holds stays', async () => {
  const { stack, updateId, write } = await startHostileRun('large-journal');
  const nearlyFull = 256 * 1024 * 1024 - 300;
  await sql`UPDATE updates SET journal_bytes = ${nearlyFull} WHERE id = ${updateId}`.execute(database());
  const urn = 'urn:pulumi:large-journal::shop::a:b:C::kept';
  const entry = { version: 1, kind: 1, sequenceID: 1, operationID: 1, state: { urn, type: 'a:b:C' } };
  expect(await write('PATCH', 'journalentries', { entries: [entry] })).toMatchObject({ status: 204 });
  const next = { ...entry, sequenceID: 2, operationID: 2 };
  expect(await write('PATCH', 'journalentries', { entries: [next, next] })).toMatchObject({ status: 413 });
  const { body } = await server.call('GET', `${stack}/export`);
  expect(body).toMatchObject({ deployment: { resources: [{ urn }] } });
});

test('the events of an update grow to their bound and no further; those that come twice count once', async () => {
  const { updateId, write } = await startHostileRun('many-events');
  const stored = () =>
    sql`SELECT event_bytes::int AS bytes, (SELECT count(*)::int FROM engine_events WHERE update_id = id) AS count
      FROM updates WHERE id = ${updateId}`.execute(database());
  const event = (sequence: number) => ({
    sequence,
    timestamp: 1,
    stdoutEvent: { message: 'x'.repeat(1000) },
  });
  for (let round = 0; round < 3; round += 1) {
    expect(await write('POST', 'events/batch', { events: [event(0), event(1)] })).toMatchObject({
      status: 204,
    });
    const bytes = 2 * (JSON.stringify(event(0)).length + 64);
    expect((await stored()).rows).toEqual([{ bytes, count: 2 }]);
  }
  const nearlyFull = 256 * 1024 * 1024 - 1200;
  await sql`UPDATE updates SET event_bytes = ${nearlyFull} WHERE id = ${updateId}`.execute(database());
  expect(await write('POST', 'events/batch', { events: [event(2)] })).toMatchObject({ status: 204 });
  expect(await write('POST', 'events/batch', { events: [event(3)] })).toEqual({
    status: 413,
    body: {
      code: 413,
      message: 'Content Too Large: the log of the events of an update has at most 256 MiB.',
    },
  });
  expect((await stored()).rows).toMatchObject([{ count: 3 }]);
});

test('the token of an update opens nothing any more a while after its end', async () => {
  const { updateId, write } = await startHostileRun('old-token');
  const event = (sequence: number) => ({
    events: [{ sequence, timestamp: 1, stdoutEvent: { message: 'x' } }],
  });
  await write('POST', 'complete', { status: 'succeeded' });
  expect(await write('POST', 'events/batch', event(1))).toMatchObject({ status: 204 });
  await sql`UPDATE updates SET ended_at = now() - interval '1 hour' WHERE id = ${updateId}`.execute(
    database(),
  );
  expect(await write('POST', 'events/batch', event(2))).toMatchObject({ status: 403 });
});

test('empty lines count as well: a log of nothing else reaches its bound', async () => {
  const { run } = await startHostileRun('empty-lines');
  const nearlyFull = 256 * 1024 * 1024 - 10;
  await sql`UPDATE runs SET log_bytes = ${nearlyFull} WHERE id = ${run.id}`.execute(database());
  await run.log(0, '');
  const { rows } = await sql`SELECT FROM run_log_chunks WHERE run_id = ${run.id}`.execute(database());
  expect(rows).toHaveLength(0);
});

test('a call between whose lines lie many small chunks is refused, and they are not read', async () => {
  const { run } = await startHostileRun('small-chunks');
  const chunk = (sequence: number, lineCount = 1) => {
    const text = Array(lineCount).fill('x').join('\n');
    return { sequence, lineCount, step: 0, kind: 'line', timestamp: new Date().toISOString(), text };
  };
  await sql`
    INSERT INTO run_log_chunks (run_id, first_sequence, step, kind, logged_at, text)
    SELECT ${run.id}, 2 * number, 0, 'line', now(), '' FROM generate_series(1, 50000) AS number`.execute(
    database(),
  );
  // Between the first and the last, and within one.
  expect(await run.call('log', { lines: [chunk(1), chunk(100_001)] })).toMatchObject({ status: 400 });
  expect(await run.call('log', { lines: [chunk(1001, 2000)] })).toMatchObject({ status: 400 });
  // As a runner sends again what it has sent.
  const again = Array.from({ length: 500 }, (_, index) => chunk(99_500 + index));
  expect(await run.call('log', { lines: again })).toMatchObject({ status: 200 });
  expect(await run.call('log', { lines: again })).toMatchObject({ status: 200 });
});

test('a stack has a bounded number of tags', async () => {
  const stack = await server.makeStack('many-tags');
  const tags = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`tag${index}`, '']));
  expect(await server.call('PATCH', `${stack}/tags`, tags(250))).toMatchObject({ status: 204 });
  expect(await server.call('PATCH', `${stack}/tags`, tags(251))).toMatchObject({ status: 400 });
});

/** The status that a call is answered whose body is announced and does not come. */
async function statusBeforeBody(path: string, authorization?: string): Promise<number | undefined> {
  const headers = { 'content-length': 60 * 1024 * 1024, ...(authorization && { authorization }) };
  const method = /(checkpoint|journalentries)$/.test(path) ? 'PATCH' : 'POST';
  const outgoing = request(server.server.url + path, { method, headers });
  outgoing.on('error', () => undefined);
  outgoing.flushHeaders();
  const [answer]: IncomingMessage[] = await once(outgoing, 'response');
  outgoing.destroy();
  return answer?.statusCode;
}

test('nobody has the server keep a body without a credential for it', async () => {
  const { stack, updateId, run } = await startHostileRun('no-credential');
  const update = `${stack}/update/${updateId}`;
  expect(await statusBeforeBody(`${stack}/import`)).toBe(401);
  expect(await statusBeforeBody(`${stack}/import`, 'token pul-guessed')).toBe(401);
  expect(await statusBeforeBody(`${update}/checkpoint`)).toBe(401);
  for (const call of ['checkpoint', 'journalentries', 'events/batch', 'renew_lease', 'complete']) {
    expect(await statusBeforeBody(`${update}/${call}`, 'update-token slp-update-guessed'), call).toBe(403);
  }
  expect(await statusBeforeBody('/nothing')).toBe(404);
  expect(await statusBeforeBody(`${runnerContractPath}/claim`, 'token slp-pool-guessed')).toBe(401);
  expect(await statusBeforeBody(`${runnerContractPath}/log`, 'lease slp-lease-guessed')).toBe(409);
  // With one, a runner has it keep less than a CLI.
  expect(await statusBeforeBody(`${runnerContractPath}/log`, `lease ${run.claim.leaseToken}`)).toBe(413);
});
