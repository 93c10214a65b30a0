import { usageSample, usageSummary } from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import {
  addEmptyProject,
  finishedDeployment,
  logOfDeployment,
  type SlipwayUnderTest,
  startSlipway,
} from './testing/slipway.ts';

let slipway: SlipwayUnderTest;
beforeAll(async () => {
  slipway = await startSlipway();
  await addEmptyProject(slipway, 'busy');
  await slipway.publish();
});
afterAll(() => slipway?.close());

const mebibyte = 1024 ** 2;
const path = 'local/busy/dev';
const run = z.object({ id: z.string(), outcome: z.string(), usage: usageSummary });
const usage = z.object({ summary: usageSummary, samples: z.array(usageSample) });

/** Takes 300 MiB, keeps a processor busy for three seconds meanwhile, and writes 40 MiB. */
const work = `node -e '
  const held = Buffer.alloc(300 * 2 ** 20, 1);
  for (const end = Date.now() + 3000; Date.now() < end; ) held[Date.now() % held.length] = 1;
  require("node:fs").writeFileSync("/tmp/written", held.subarray(0, 40 * 2 ** 20));
  setTimeout(() => held.fill(2), 1500);
'`;

test('what a run has used is told by the API, second by second and at most, and in a line of its log', async () => {
  await slipway.api('POST', '/api/stacks/local/busy', { stackName: 'dev' });
  const { status, json } = await slipway.api('POST', `/api/stacks/${path}/deployments`, {
    operation: 'preview',
    inheritSettings: false,
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main', repoDir: 'busy' } },
    operationContext: { preRunCommands: [work], options: { skipInstallDependencies: true } },
  });
  expect({ status, json }).toMatchObject({ status: 202 });
  const finished = run.parse(await finishedDeployment(slipway, path));
  expect(finished.outcome).toBe('succeeded');
  const { summary, samples } = usage.parse(
    (await slipway.api('GET', `/api/slipway/runs/${finished.id}/usage`)).json,
  );
  expect(summary).toEqual(finished.usage);

  const { sandbox, host } = summary;
  if (!sandbox || !host) throw new Error('nothing was told');
  // Node and Pulumi come on top of what the command takes; all of it is below the 2 GiB that there are.
  expect(sandbox.peakMemoryBytes / mebibyte).toBeGreaterThan(300);
  expect(sandbox.peakMemoryBytes / mebibyte).toBeLessThan(700);
  expect(sandbox.peakVolumeBytes / mebibyte).toBeGreaterThan(40);
  expect(sandbox.peakVolumeBytes / mebibyte).toBeLessThan(80);
  expect(host.peakVolumeBytes).toBeGreaterThan(0);
  expect(sandbox.peakCpus).toBeGreaterThan(0.4);
  expect(sandbox.peakCpus).toBeLessThanOrEqual(2);
  expect(sandbox.cpuMilliseconds).toBeGreaterThan(2_000);
  expect(sandbox.receivedBytes).toBeGreaterThan(1_000);

  expect(samples.length).toBeGreaterThanOrEqual(4);
  const seconds = samples.reduce((sum, sample) => sum + sample.seconds, 0);
  const [first, last] = [samples[0], samples.at(-1)];
  const spanSeconds = (Date.parse(last?.at ?? '') - Date.parse(first?.at ?? '')) / 1000 + 1;
  expect(Math.abs(seconds - spanSeconds)).toBeLessThanOrEqual(1.5);
  expect(Math.max(...samples.map((sample) => sample.sandbox?.memoryBytes ?? 0))).toBe(
    sandbox.peakMemoryBytes,
  );
  expect(last?.sandbox?.cpuMilliseconds).toBe(sandbox.cpuMilliseconds);

  const lines = await logOfDeployment(slipway, path, finished.id);
  const megabytes = Math.round(sandbox.peakMemoryBytes / mebibyte);
  expect(lines.at(-1)).toContain(` of 2 vCPU, ${megabytes} of 2,048 MiB memory and 0.`);
}, 120_000);
