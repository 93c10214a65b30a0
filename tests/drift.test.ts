import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { expectSuccess } from './testing/pulumi-user.ts';
import { finishedDeployment, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

const stack = 'local/drifting/dev';
const folder = 'drifting';
let slipway: SlipwayUnderTest;

/** A resource whose real value is what the variable WORLD says, where there is one. */
const program = `
const pulumi = require('@pulumi/pulumi');
const provider = {
  async create(inputs) { return { id: 'door', outs: inputs }; },
  async read(id, props) { return { id, props: { ...props, state: process.env.WORLD ?? props.state } }; },
  async diff(id, olds, news) { return { changes: olds.state !== news.state }; },
  async update(id, olds, news) { console.log('the door was ' + olds.state); return { outs: news }; },
};
class Door extends pulumi.dynamic.Resource {
  constructor(name, state) { super(provider, name, { state }); }
}
exports.state = new Door('door', 'closed').state;
`;

beforeAll(async () => {
  slipway = await startSlipway();
  await mkdir(join(slipway.workingCopy, folder));
  const write = (name: string, text: string) => writeFile(join(slipway.workingCopy, folder, name), text);
  await write('Pulumi.yaml', `name: ${folder}\nruntime: nodejs\n`);
  await write('package.json', `{"name": "${folder}", "private": true, "main": "index.js"}\n`);
  await write('index.js', program);
  await slipway.publish();
  await succeed('login', slipway.url);
  await succeed('stack', 'init', stack);
  await succeed(
    ...['deployment', 'settings', 'edit', '--stack', stack, '--skip-install-deps'],
    ...['--git-url', slipway.repositoryUrl, '--branch', 'main', '--folder', folder],
  );
  await run('update');
}, 300_000);
afterAll(() => slipway?.close());

async function succeed(...args: string[]): Promise<string> {
  return expectSuccess(await slipway.pulumi(args, { folder }), `pulumi ${args.join(' ')}`);
}

/** Runs an operation with the real CLI and answers its log, once its run has finished. */
async function run(operation: string, ...args: string[]): Promise<string> {
  const log = await succeed(
    ...['deployment', 'run', operation, '--stack', stack, '--suppress-stream-logs=false', ...args],
  );
  await finishedDeployment(slipway, stack);
  return log;
}

const driftStatus = async () => (await slipway.api('GET', `/api/stacks/${stack}/drift/status`)).json;
const driftRuns = z.object({
  driftRuns: z.array(
    z.object({ driftDetected: z.boolean(), status: z.string(), deploymentVersion: z.number() }).loose(),
  ),
});
const newestDriftRun = async () =>
  driftRuns.parse(JSON.parse(await succeed('stack', 'drift', 'list', '--stack', stack, '--output', 'json')))
    .driftRuns[0];

test('detect-drift finds no drift where there is none, and says so', async () => {
  expect(await run('detect-drift')).toContain('No drift detected.');
  expect(await newestDriftRun()).toMatchObject({ driftDetected: false, status: 'succeeded' });
  expect(await driftStatus()).toMatchObject({ driftDetected: false, runInProgress: false });
}, 120_000);

test('detect-drift finds drift, and changes nothing', async () => {
  const log = await run('detect-drift', '--env', 'WORLD=open');
  expect(log).toContain('Drift detected: 1 to update.');
  expect(await newestDriftRun()).toMatchObject({
    ...{ driftDetected: true, status: 'succeeded', deploymentVersion: 3 },
    detectUpdate: { status: 'succeeded', resourceChanges: { update: 1 } },
  });
  expect(await driftStatus()).toMatchObject({ driftDetected: true });
  expect(await succeed('stack', 'drift', 'status', '--stack', stack)).toMatch(/drift detected/i);
  expect(await succeed('stack', 'output', 'state', '--stack', stack)).toBe('closed\n');
}, 120_000);

test('drift that is to be remediated at once is: the world is brought back to the program', async () => {
  const before = z
    .record(z.string(), z.unknown())
    .parse((await slipway.api('GET', `/api/stacks/${stack}/deployments/settings`)).json);
  await slipway.api('POST', `/api/stacks/${stack}/deployments/settings`, {
    operationContext: { options: { remediateIfDriftDetected: true } },
  });
  const nothing = await run('detect-drift');
  expect(nothing).toContain('There is no drift to remediate, skipping...');
  const log = await run('detect-drift', '--env', 'WORLD=open');
  expect(log).toContain('Drift detected: 1 to update.');
  expect(log).toContain('the door was open');
  expect(await newestDriftRun()).toMatchObject({
    driftDetected: true,
    detectUpdate: { resourceChanges: { update: 1 } },
    remediateUpdate: { status: 'succeeded', resourceChanges: { update: 1 } },
  });
  expect(await driftStatus()).toMatchObject({ driftDetected: false });
  await slipway.api('PUT', `/api/stacks/${stack}/deployments/settings`, before);
}, 180_000);

test('remediate-drift refreshes and updates', async () => {
  const log = await run('remediate-drift', '--env', 'WORLD=ajar');
  expect(log).toContain('the door was ajar');
  expect(await newestDriftRun()).toMatchObject({
    status: 'succeeded',
    remediateUpdate: { status: 'succeeded' },
  });
}, 120_000);

test('a destroy removes the stack when it is asked to', async () => {
  await slipway.api('POST', `/api/stacks/${stack}/deployments/settings`, {
    operationContext: { options: { deleteAfterDestroy: true } },
  });
  const list = await slipway.api('POST', `/api/stacks/${stack}/deployments`, { operation: 'destroy' });
  expect(list.status).toBe(202);
  await expect
    .poll(async () => (await slipway.api('GET', `/api/stacks/${stack}`)).status, { timeout: 90_000 })
    .toBe(404);
}, 120_000);
