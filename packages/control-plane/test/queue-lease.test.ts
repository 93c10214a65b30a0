import { runnerContractPath } from '@slipway/core';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

/** Two control planes on one database, the second with leases ten times as long. */
let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  server = await startTestServer({ leaseSeconds: 12 });
  other = await startTestServer({
    leaseSeconds: 120,
    databaseUrl: server.databaseUrl,
    masterKey: server.server.controlPlane.masterKey.toString('base64'),
  });
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

const registered = z.object({ leaseSeconds: z.number(), heartbeatSeconds: z.number() });
const register = (at: TestServer) => TestRunner.register(at);
const leaseOf = ({ expectCall }: TestServer) =>
  expectCall(
    registered,
    200,
    'POST',
    `${runnerContractPath}/register`,
    {
      ...{ hostname: 'runner-host', pid: 4711, version: '0.1.0' },
      ...{ platform: 'linux/amd64', isolation: 'vm', slots: 1 },
    },
    { authorization: `token ${other.server.poolToken}` },
  );

const secondsLeft = async (runId: string): Promise<number> => {
  const { rows } = await sql<{ left: number }>`
    SELECT extract(epoch FROM lease_ends_at - now())::float8 AS left FROM runs WHERE id = ${runId}`.execute(
    server.server.controlPlane.db,
  );
  return rows[0]?.left ?? Number.NaN;
};

/** As if these leases had ended so many seconds ago. Answers when both control planes have looked, as they do every second. */
const endLease = async (seconds: number, ...runIds: readonly string[]): Promise<void> => {
  await sql`
    UPDATE runs SET lease_ends_at = now() - make_interval(secs => ${seconds}) WHERE id = ANY(${runIds}::uuid[])`.execute(
    server.server.controlPlane.db,
  );
  await new Promise((resolve) => setTimeout(resolve, 1500));
};

const stateOf = async (runId: string) =>
  (await server.expectCall(z.object({ state: z.string() }), 200, 'GET', `/api/slipway/runs/${runId}`)).state;

test('a runner is told the lease and the heartbeat of its control plane', async () => {
  expect(await leaseOf(server)).toMatchObject({ leaseSeconds: 12, heartbeatSeconds: 2 });
  expect(await leaseOf(other)).toMatchObject({ leaseSeconds: 120, heartbeatSeconds: 20 });
});

test('a run keeps the lease that it was claimed with, whichever control plane renews it', async () => {
  const { id } = await deploy(server, await server.makeStack('renewed'));
  const run = await (await register(server)).mustClaim();
  expect(run.claim.leaseSeconds).toBe(12);
  const authorization = `lease ${run.claim.leaseToken}`;
  const heartbeat = await other.call('POST', `${runnerContractPath}/heartbeat`, {}, { authorization });
  expect(heartbeat).toMatchObject({ status: 200 });
  expect(await secondsLeft(id)).toBeGreaterThan(10);
  expect(await secondsLeft(id)).toBeLessThanOrEqual(12);
  await run.finish();
});

test('a run is taken from its runner a third of its own lease after that ended, whichever control plane looks', async () => {
  const { id } = await deploy(server, await server.makeStack('short'));
  const { id: longId } = await deploy(server, await server.makeStack('long'));
  await (await register(server)).mustClaim();
  const long = await (await register(other)).mustClaim();
  expect(long.claim).toMatchObject({ leaseSeconds: 120, run: { runId: longId } });
  await endLease(2, id, longId);
  expect([await stateOf(id), await stateOf(longId)]).toEqual(['claimed', 'claimed']);
  await endLease(5, id, longId);
  expect([await stateOf(id), await stateOf(longId)]).toEqual(['queued', 'claimed']);
  await endLease(41, longId);
  expect(await stateOf(longId)).toBe('queued');
});
