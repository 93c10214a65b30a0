import { completeSize } from '@slipway/core';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, organization, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

let server: TestServer;
let runner: TestRunner;
beforeEach(async () => {
  server = await startTestServer();
  runner = await TestRunner.register(server);
});
afterEach(() => server.stop());

const small = { cpus: 1, memoryMiB: 1024, volumeGiB: 4 };
const host = { cpus: 4, memoryMiB: 8192, volumeGiB: 64 };
const room = (now: Partial<typeof host>, cacheDiskGiB = 0) => ({
  capacity: { now: { ...host, ...now }, empty: host, defaultSize: small, cacheDiskGiB },
});

/** Queues a run of a stack of its own that wishes this size. */
async function queue(name: string, size: Partial<typeof small> = {}) {
  const stack = await server.makeStack(name);
  await server.call('PUT', `${stack.replace('/api/', '/api/slipway/')}/sandbox`, { size });
  return deploy(server, stack);
}

const waitingOf = async (id: string) =>
  (await server.expectCall(z.object({ waiting: z.string() }), 200, 'GET', `/api/slipway/runs/${id}`)).waiting;

test.each([
  ['processors', { cpus: 3 }, { cpus: 2 }],
  ['memory', { memoryMiB: 4096 }, { memoryMiB: 4095 }],
  ['disk', { volumeGiB: 32 }, { volumeGiB: 31 }],
])('a runner gets no run that does not fit: %s', async (name, size, left) => {
  await queue(name, size);
  expect(await runner.claim(room(left))).toBeUndefined();
  await (await runner.mustClaim(room(size))).finish();
});

test('a run that says nothing of its size counts with the default of the runner that asks', async () => {
  await queue('silent');
  expect(await runner.claim(room({ memoryMiB: 1023 }))).toBeUndefined();
  await (await runner.mustClaim(room({ memoryMiB: 1024 }))).finish();
});

test('a run that says nothing of its size gets no more of a runner than the maximum of its pool', async () => {
  const { agentPools } = await server.expectCall(
    z.object({ agentPools: z.array(z.object({ id: z.string() })) }),
    200,
    'GET',
    `/api/orgs/${organization}/agent-pools`,
  );
  const pool = `/api/slipway/orgs/${organization}/agent-pools/${agentPools[0]?.id}/sandbox`;
  await server.call('PUT', pool, { maximum: { size: { memoryMiB: 512, volumeGiB: 8 } } });
  const { id } = await queue('below-the-maximum');
  expect(await runner.claim(room({ memoryMiB: 511 }))).toBeUndefined();
  expect(await waitingOf(id)).toContain('512 MiB of memory are needed and 511 are left');
  const run = await runner.mustClaim(room({ memoryMiB: 512 }));
  expect(completeSize(run.claim.run.sandbox, small)).toEqual({ ...small, memoryMiB: 512 });
  await run.finish();
});

test('smaller runs pass a large one for two minutes, and then wait for it', async () => {
  const { id } = await queue('large', { memoryMiB: 8192 });
  await queue('small-1');
  await queue('small-2');
  const busy = room({ memoryMiB: 2048 });
  await (await runner.mustClaim(busy)).finish();
  await sql`UPDATE runs SET created_at = created_at - interval '3 minutes' WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  expect(await runner.claim(busy)).toBeUndefined();
  const large = await runner.mustClaim(room({}));
  expect(large.claim.run.runId).toBe(id);
  await large.finish();
  await (await runner.mustClaim(busy)).finish();
});

test('nobody waits for a run that this host will never have room for', async () => {
  const { id } = await queue('huge', { memoryMiB: 100_000 });
  await queue('small');
  await sql`UPDATE runs SET created_at = created_at - interval '3 minutes' WHERE id = ${id}`.execute(
    server.server.controlPlane.db,
  );
  await (await runner.mustClaim(room({}))).finish();
});

test('a queued run says why it waits', async () => {
  const first = await queue('why', { memoryMiB: 4096 });
  await sql`UPDATE runners SET last_seen_at = now() - interval '10 minutes'`.execute(
    server.server.controlPlane.db,
  );
  expect(await waitingOf(first.id)).toMatch(/No runner of the pool "default" is online: start one with/);
  expect(await runner.claim(room({ memoryMiB: 2000 }))).toBeUndefined();
  expect(await waitingOf(first.id)).toBe(
    'It waits until a runner of the pool "default" has room (runner-host: 4096 MiB of memory are needed and 2000 are left).',
  );
  const tooLarge = await queue('too-large', { cpus: 16 });
  expect(await waitingOf(tooLarge.id)).toMatch(
    /large enough \(runner-host: 16 CPUs are needed and 4 are left\): ask for less/,
  );
  const second = await deploy(server, `/api/stacks/acme/shop/why`);
  expect(await waitingOf(second.id)).toBe('It waits for run 1 of the same stack, which is queued.');
});

test('a run that keeps dependencies needs room beside its volume where these get a disk', async () => {
  const stack = await server.makeStack('keeps');
  await server.call('PUT', `${stack.replace('/api/', '/api/slipway/')}/sandbox`, { size: { volumeGiB: 20 } });
  const keep = { cacheOptions: { enable: true } };
  const { id } = await deploy(server, stack, keep);
  expect(await runner.claim(room({ volumeGiB: 35 }, 16))).toBeUndefined();
  expect(await waitingOf(id)).toMatch(/has room \(runner-host: 36 GiB of disk are needed and 35 are left\)/);
  await (await runner.mustClaim(room({ volumeGiB: 36 }, 16))).finish();
  await deploy(server, stack, keep);
  await (await runner.mustClaim(room({ volumeGiB: 20 }, 0))).finish();
  await deploy(server, stack);
  await (await runner.mustClaim(room({ volumeGiB: 20 }, 16))).finish();
});

test('that disk is not larger than the volume', async () => {
  await deploy(server, await server.makeStack('keeps-little'), { cacheOptions: { enable: true } });
  expect(await runner.claim(room({ volumeGiB: 7 }, 16))).toBeUndefined();
  await (await runner.mustClaim(room({ volumeGiB: 8 }, 16))).finish();
});
