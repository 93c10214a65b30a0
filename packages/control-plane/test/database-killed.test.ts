import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { connectionConfig } from '../src/database/database.ts';
import { deploy, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';
import { TestUpdate } from './test-update.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({}, 'embedded');
});
afterAll(() => server.stop());

async function postmasterId(): Promise<number> {
  const path = join(server.dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  return Number.parseInt(await readFile(path, 'utf8'), 10);
}

/** The embedded database alone, and not the control plane: its processes end when the first of them does. */
async function killDatabase(): Promise<void> {
  process.kill(await postmasterId(), 'SIGKILL');
}

const exported = z.object({ deployment: z.looseObject({ mark: z.string().optional() }) });
const logged = z.object({ lines: z.array(z.object({ line: z.string().optional() })) });

test('the database killed: what was acknowledged is there, calls are answered 503 or wait, and all goes on', async () => {
  const stack = await server.makeStack('killed');
  await deploy(server, stack);
  const runner = await TestRunner.register(server);
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  const update = await TestUpdate.start(server, stack, 'update', jobToken);
  const first = await postmasterId();

  const answers = new Set<number>();
  let stopped = false;
  let acknowledgedState = 0;
  const writeStates = async () => {
    for (let mark = 1; !stopped; mark += 1) {
      const status = await update.checkpoint(String(mark));
      answers.add(status);
      if (status < 300) acknowledgedState = mark;
    }
  };
  let acknowledgedLine = 0;
  const writeLines = async () => {
    for (let sequence = 1; !stopped; ) {
      const line = { step: 0, kind: 'line', timestamp: new Date().toISOString(), text: `line ${sequence}` };
      const { status } = await run.call('log', { lines: [{ ...line, sequence }] });
      answers.add(status);
      if (status < 300) acknowledgedLine = sequence++;
    }
  };
  const written = Promise.all([writeStates(), writeLines()]);
  for (let kills = 1; kills <= 3; kills += 1) {
    const before = { state: acknowledgedState, line: acknowledgedLine };
    await killDatabase();
    // More of both is taken: it is back.
    await expect.poll(() => acknowledgedState, { timeout: 30_000 }).toBeGreaterThan(before.state + 20);
    await expect.poll(() => acknowledgedLine, { timeout: 30_000 }).toBeGreaterThan(before.line + 20);
  }
  stopped = true;
  await written;

  expect(await postmasterId()).not.toBe(first);
  // Unwilling answers are those that clients try again after.
  expect([...answers].filter((status) => status > 299 && status !== 503)).toEqual([]);
  expect(await update.complete()).toBeLessThan(300);
  const { deployment } = await server.expectCall(exported, 200, 'GET', `${stack}/export`);
  expect(Number(deployment.mark)).toBe(acknowledgedState);
  const { lines } = await server.expectCall(logged, 200, 'GET', `${stack}/deployments/${run.id}/logs`);
  const texts = lines.flatMap(({ line }) => (line === undefined ? [] : [line.trim()]));
  expect(texts.slice(0, acknowledgedLine)).toEqual(
    Array.from({ length: Math.min(acknowledgedLine, texts.length) }, (_, index) => `line ${index + 1}`),
  );
  expect(
    (
      await run.call('finish', {
        outcome: 'succeeded',
        phaseMilliseconds: {},
        lastSequence: acknowledgedLine,
      })
    ).status,
  ).toBeLessThan(300);
}, 120_000);

test('a call that comes while the database is being started again waits for it', async () => {
  const before = await postmasterId();
  await killDatabase();
  // The control plane has noticed: the calls from now on find nobody.
  await expect
    .poll(() => server.server.controlPlane.database.isServing, { timeout: 5_000, interval: 2 })
    .toBe(false);
  expect(await server.call('GET', '/api/user')).toMatchObject({ status: 200 });
  expect(await postmasterId()).not.toBe(before);
});

/** One of the processes that serve connections is killed: PostgreSQL ends all of them, recovers, and lives on. */
async function killConnection(): Promise<void> {
  const { location } = server.server.controlPlane.database;
  const client = new pg.Client(connectionConfig(location));
  client.on('error', () => undefined);
  await client.connect();
  const { rows: serving } = await client.query<{ id: number; isOurs: boolean }>(
    `SELECT pid AS id, pid = pg_backend_pid() AS "isOurs" FROM pg_stat_activity WHERE backend_type = 'client backend'`,
  );
  const ours = serving.find(({ isOurs }) => isOurs);
  if (ours === undefined) throw new Error('PostgreSQL does not tell which process serves us');
  process.kill(ours.id, 'SIGKILL');
  // Those of the control plane too: it cannot but ask for new ones.
  await expect
    .poll(() => serving.filter(({ id }) => existsSync(`/proc/${id}`)), { timeout: 10_000, interval: 1 })
    .toEqual([]);
}

test('a call that comes while the database turns everybody away, but need not be started again, waits for it', async () => {
  const stack = await server.makeStack('turned-away');
  const before = await postmasterId();
  for (let kills = 1; kills <= 3; kills += 1) {
    await killConnection();
    await deploy(server, stack);
    expect(server.server.controlPlane.database.isServing).toBe(true);
  }
  expect(await postmasterId()).toBe(before);
});

test('a claim that waits when the database is killed gets the run that is queued after it', async () => {
  const stack = await server.makeStack('waited-for');
  const runner = await TestRunner.register(server);
  const nonce = crypto.randomUUID();
  const claiming = runner.claim({ nonce, waitSeconds: 20 }).catch(() => undefined);
  await killDatabase();
  // What comes the moment that it is killed may be refused.
  await expect
    .poll(() =>
      deploy(server, stack).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  const run = (await claiming) ?? (await runner.mustClaim({ nonce, waitSeconds: 20 }));
  await run.finish();
}, 60_000);

test('a server that is stopped while its database is down stops', async () => {
  const other = await startTestServer({}, 'embedded');
  const path = join(other.dataDirectory, 'postgres', 'cluster', 'postmaster.pid');
  process.kill(Number.parseInt(await readFile(path, 'utf8'), 10), 'SIGKILL');
  await other.stop();
});
