import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { Api, Deployment } from './testing/api.ts';
import { expectSuccess } from './testing/pulumi-user.ts';
import { addExample, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

/**
 * A runner hears of a cancellation within its heartbeat of 5 s; until then, the first resource must not be finished on
 * a machine that is slow, and afterwards it must have the time for that.
 */
const resourceSeconds = 20;
const graceSeconds = 30;
const folder = 'slow';
let slipway: SlipwayUnderTest;
let api: Api;

beforeAll(async () => {
  slipway = await startSlipway({ cancelGraceSeconds: graceSeconds });
  api = new Api(slipway.url, slipway.adminToken);
  await addExample(slipway, folder);
  await succeed('login', slipway.url);
  await makeStack('local/slow/dev', resourceSeconds);
  await makeStack('local/slow/endless', 3600);
  await slipway.publish();
}, 180_000);

afterAll(() => slipway?.close());

/** Runs the real CLI, which must succeed, and answers what it printed. */
async function succeed(...args: string[]): Promise<string> {
  return expectSuccess(await slipway.pulumi(args, { folder }), `pulumi ${args.join(' ')}`);
}

/** A stack of the example whose resources take so long, and which deploys from the repository. */
async function makeStack(stack: string, seconds: number): Promise<void> {
  await succeed('stack', 'init', stack);
  await succeed('config', 'set', 'seconds', String(seconds), '--stack', stack);
  await succeed(
    ...['deployment', 'settings', 'edit', '--stack', stack, '--skip-install-deps'],
    ...['--git-url', slipway.repositoryUrl, '--branch', 'main', '--folder', folder],
  );
}

/** Queues an update with the real CLI. */
async function deploy(stack: string): Promise<Deployment> {
  await succeed('deployment', 'run', 'update', '--stack', stack);
  const list = JSON.parse(
    await succeed('deployment', 'list', '--count', '1', '--output', 'json', '--stack', stack),
  );
  const { deployments } = z.object({ deployments: z.tuple([z.object({ id: z.string() })]) }).parse(list);
  return new Deployment(api, stack, deployments[0].id);
}

const cancel = (stack: string, { id }: Deployment) =>
  succeed('deployment', 'cancel', id, '--yes', '--stack', stack);

const exported = z.object({
  deployment: z.object({
    resources: z.array(z.object({ urn: z.string() })).default([]),
    pending_operations: z
      .array(z.object({ type: z.string(), resource: z.object({ urn: z.string() }) }))
      .nullish(),
  }),
});

/** Names of the example's two resources, as far as they are in the state or in the making. */
async function stateOf(stack: string): Promise<{ made: string[]; pending: string[] }> {
  const { deployment } = exported.parse(JSON.parse(await succeed('stack', 'export', '--stack', stack)));
  const name = (urn: string) => urn.split('::').at(-1) ?? '';
  const isOurs = (urn: string) => /::(first|second)$/.test(urn);
  return {
    made: deployment.resources.flatMap(({ urn }) => (isOurs(urn) ? name(urn) : [])),
    pending: (deployment.pending_operations ?? []).map(({ resource }) => name(resource.urn)),
  };
}

test('a cancelled run lets its first resource become ready, does not begin the second, and frees the stack', async () => {
  const stack = 'local/slow/dev';
  const running = await deploy(stack);
  const queued = await deploy(stack);
  await running.logged(/first creating/);

  // The queued one ends at once, and the other one does not mind.
  await cancel(stack, queued);
  expect(await queued.run()).toMatchObject({ state: 'finished', outcome: 'failed', cause: 'cancelled' });
  expect(await queued.log()).toEqual([expect.stringContaining('cancelled')]);
  expect(await running.run()).toMatchObject({ state: 'running' });

  await cancel(stack, running);
  await cancel(stack, running);
  const ended = await running.finished();
  expect(ended).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  expect(ended.message).toContain('pulumi update');
  expect(await stateOf(stack)).toEqual({ made: ['first'], pending: [] });
  const log = await running.log();
  expect(log).toContainEqual(expect.stringMatching(/first created/));
  expect(log.filter((line) => /second creat/.test(line))).toEqual([]);

  await cancel(stack, running);
  expect(await running.run()).toEqual(ended);
  await succeed('config', 'set', 'seconds', '1', '--stack', stack);
  await succeed('up', '--yes', '--stack', stack);
  expect(await stateOf(stack)).toEqual({ made: ['first', 'second'], pending: [] });
}, 300_000);

test('a run that does not end by itself is destroyed after its grace, and its stack is free', async () => {
  const stack = 'local/slow/endless';
  const running = await deploy(stack);
  await running.logged(/first creating/);
  const cancelledAt = performance.now();
  await cancel(stack, running);
  expect(await running.finished()).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  const elapsedSeconds = (performance.now() - cancelledAt) / 1000;
  expect(elapsedSeconds).toBeGreaterThan(graceSeconds);
  // The heartbeat before the grace, and the destruction after it.
  expect(elapsedSeconds).toBeLessThan(graceSeconds + 30);
  expect(await stateOf(stack)).toEqual({ made: [], pending: ['first'] });

  await succeed('config', 'set', 'seconds', '1', '--stack', stack);
  await succeed('up', '--yes', '--stack', stack);
  expect((await stateOf(stack)).made).toEqual(['first', 'second']);
}, 300_000);
