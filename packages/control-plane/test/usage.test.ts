import { maximumUsageSamples, type UsageReport, type UsageSample } from '@slipway/core';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const use = {
  ...{ cpuMilliseconds: 1_500, memoryBytes: 2 ** 33, volumeBytes: 3, receivedBytes: 4, sentBytes: 5 },
};
const peaks = {
  ...{ cpuMilliseconds: 1_500, peakCpus: 1.25, peakMemoryBytes: 2 ** 33, peakVolumeBytes: 3 },
  ...{ receivedBytes: 4, sentBytes: 5 },
};
const summary: UsageReport['summary'] = { sandbox: peaks, host: null };

function sampleAt(second: number): UsageSample {
  return {
    at: new Date(second * 1000).toISOString(),
    seconds: 1,
    sandbox: { ...use, sentBytes: second },
    host: null,
  };
}

const stored = z.object({ summary: z.unknown(), samples: z.array(z.unknown()) });

async function startRun(name: string): Promise<TestRun> {
  await deploy(server, await server.makeStack(name));
  return runner.mustClaim();
}

const runPath = (run: TestRun) => `/api/slipway/runs/${run.id}`;
const usageOf = (run: TestRun) => server.expectCall(stored, 200, 'GET', `${runPath(run)}/usage`);
const summaryOf = async (run: TestRun) =>
  (await server.expectCall(z.object({ usage: z.unknown() }), 200, 'GET', runPath(run))).usage;

test('a run tells what it uses while it runs and when it has ended, each sample once and in order', async () => {
  const run = await startRun('told');
  expect(await usageOf(run)).toEqual({ summary: null, samples: [] });
  expect(await summaryOf(run)).toBeNull();
  const report = { summary, samples: [sampleAt(2), sampleAt(3)] };
  expect(await run.call('usage', report)).toMatchObject({ status: 200 });
  // Its answer was lost.
  expect(await run.call('usage', report)).toMatchObject({ status: 200 });
  expect(await run.call('usage', { summary, samples: [sampleAt(1)] })).toMatchObject({ status: 200 });
  expect(await usageOf(run)).toEqual({ summary, samples: [1, 2, 3].map(sampleAt) });
  const atEnd = { summary: { sandbox: peaks, host: peaks }, samples: [sampleAt(3), sampleAt(4)] };
  await run.finish({ usage: atEnd });
  await run.finish({ usage: atEnd });
  expect(await usageOf(run)).toEqual({ summary: atEnd.summary, samples: [1, 2, 3, 4].map(sampleAt) });
  expect(await summaryOf(run)).toEqual(atEnd.summary);
});

test('what it has used is a sign of life, and tells the runner to cancel', async () => {
  const run = await startRun('alive');
  await sql`UPDATE runs SET lease_ends_at = now() + interval '1 second', cancel_requested_at = now()
    WHERE id = ${run.id}`.execute(server.server.controlPlane.db);
  expect(await run.call('usage', { summary, samples: [] })).toMatchObject({ body: { command: 'cancel' } });
  const { rows } =
    await sql`SELECT FROM runs WHERE id = ${run.id} AND lease_ends_at > now() + interval '20 seconds'`.execute(
      server.server.controlPlane.db,
    );
  expect(rows).toHaveLength(1);
  await run.finish();
  expect(await run.call('usage', { summary, samples: [] })).toMatchObject({ status: 409 });
});

test.each([
  [
    'a number that is none',
    { summary, samples: [{ ...sampleAt(1), sandbox: { ...use, memoryBytes: null } }] },
  ],
  ['less than nothing', { summary: { sandbox: { ...peaks, peakCpus: -1 }, host: null }, samples: [] }],
  ['too many samples', { summary, samples: Array.from({ length: 1_001 }, (_, second) => sampleAt(second)) }],
])('%s is refused', async (what, report) => {
  const run = await startRun(what.replaceAll(' ', '-'));
  expect(await run.call('usage', report)).toMatchObject({ status: 400 });
  expect(await usageOf(run)).toEqual({ summary: null, samples: [] });
  await run.finish();
});

test('a run has no more samples than one of a year, whatever its runner sends', async () => {
  const run = await startRun('many');
  for (let second = 0; second < maximumUsageSamples + 3_000; second += 1_000) {
    const samples = Array.from({ length: 1_000 }, (_, index) => sampleAt(second + index));
    expect(await run.call('usage', { summary, samples })).toMatchObject({ status: 200 });
  }
  expect((await usageOf(run)).samples).toHaveLength(maximumUsageSamples);
  await run.finish();
});

test('a run that is begun anew knows nothing of what its lost runner saw', async () => {
  const run = await startRun('anew');
  await run.call('usage', { summary, samples: [sampleAt(1)] });
  const authorization = `delivery ${run.claim.deliveryToken}`;
  await server.call('POST', '/api/slipway/runner/v1/lost', {}, { authorization });
  expect(await usageOf(run)).toEqual({ summary: null, samples: [] });
  await (await runner.mustClaim()).finish();
});

test('nobody else learns what a run uses', async () => {
  const run = await startRun('private');
  const path = `${runPath(run)}/usage`;
  expect(await server.call('GET', path, undefined, { authorization: 'token nobody' })).toMatchObject({
    status: 401,
  });
  const { jobToken } = await run.job();
  expect((await server.call('GET', path, undefined, { authorization: `token ${jobToken}` })).status).not.toBe(
    200,
  );
  expect(await server.call('GET', `/api/slipway/runs/${crypto.randomUUID()}/usage`)).toMatchObject({
    status: 404,
  });
  await run.finish();
});
