import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EgressPolicy, egressRecord } from '@slipway/core';
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
  await addEmptyProject(slipway, 'networked');
  const folder = join(slipway.workingCopy, 'networked');
  await writeFile(join(folder, 'package.json'), '{"private": true, "dependencies": {"left-pad": "1.3.0"}}\n');
  await writeFile(join(folder, '.npmrc'), 'fetch-retries=0\n');
  await slipway.publish();
});
afterAll(() => slipway?.close());

const finished = z.object({
  outcome: z.string(),
  cause: z.string().nullable(),
  message: z.string().nullable(),
  egress: egressRecord,
});

interface Run {
  readonly egress: EgressPolicy;
  readonly preRunCommands?: string[];
  readonly skipInstallDependencies?: boolean;
  readonly repoUrl?: string;
}

let stacks = 0;

/** What a run with this egress policy ends as, and the last lines of its log. */
async function preview({ egress, preRunCommands = [], skipInstallDependencies = true, repoUrl }: Run) {
  const stack = `s${++stacks}`;
  const path = `local/networked/${stack}`;
  await slipway.api('POST', '/api/stacks/local/networked', { stackName: stack });
  expect(await slipway.api('PUT', `/api/slipway/stacks/${path}/sandbox`, { egress })).toMatchObject({
    status: 200,
  });
  const git = { repoUrl: repoUrl ?? slipway.repositoryUrl, branch: 'main', repoDir: 'networked' };
  const { status, json } = await slipway.api('POST', `/api/stacks/${path}/deployments`, {
    operation: 'preview',
    inheritSettings: false,
    sourceContext: { git },
    operationContext: { preRunCommands, options: { skipInstallDependencies } },
  });
  expect({ status, json }).toMatchObject({ status: 202 });
  const run = finished.parse(await finishedDeployment(slipway, path));
  const { id } = z.object({ id: z.string() }).parse(json);
  return { ...run, lines: await logOfDeployment(slipway, path, id) };
}

test('a run that cannot install its dependencies for its egress policy names their host, and how to allow it', async () => {
  const run = await preview({ egress: { mode: 'none' }, skipInstallDependencies: false });
  expect(run).toMatchObject({ outcome: 'failed', cause: 'egress-refused' });
  expect(run.message).toMatch(/^It was refused registry\.\S+\. Allow it with "egress"/);
  expect(run.egress.contacted).toEqual([]);
  expect(run.egress.refused.map(({ hosts }) => hosts[0])).toContainEqual(
    expect.stringMatching(/^registry\./),
  );
  expect(run.lines.join('\n')).toMatch(/Egress refused: .*registry\.\S+ \((\d+ times|once)\)/);
}, 120_000);

test('a run that cannot clone its source for its egress policy names the host of it', async () => {
  const run = await preview({
    egress: { mode: 'allow', hosts: ['other.example'] },
    repoUrl: 'https://git.example/a.git',
  });
  expect(run).toMatchObject({ outcome: 'failed', cause: 'egress-refused' });
  expect(run.message).toContain('It was refused git.example.');
}, 120_000);

test('a command that fails at a private address names host and port, and what allows it', async () => {
  const run = await preview({ egress: { mode: 'open' }, preRunCommands: ['curl -sS http://10.1.2.3:8080/'] });
  expect(run).toMatchObject({ outcome: 'failed', cause: 'egress-refused' });
  expect(run.message).toMatch(/^It was refused 10\.1\.2\.3:8080\. .*--allow-private-networks/);
}, 120_000);

test('a run that goes on without what it was refused succeeds, and its record tells', async () => {
  const probe = 'curl -sS http://169.254.169.254/latest/meta-data/ || true';
  const run = await preview({ egress: { mode: 'none' }, preRunCommands: [probe] });
  expect(run).toMatchObject({ outcome: 'succeeded', cause: null });
  const metadata = { address: '169.254.169.254', port: 80, protocol: 'tcp', reason: 'metadata' };
  expect(run.egress.refused).toContainEqual(expect.objectContaining(metadata));
}, 120_000);
