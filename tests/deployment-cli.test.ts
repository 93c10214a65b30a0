import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { expectSuccess } from './testing/pulumi-user.ts';
import {
  addEmptyProject,
  finishedDeployment,
  type SlipwayUnderTest,
  startSlipway,
} from './testing/slipway.ts';

const stack = 'local/history/dev';
const folder = 'history';
let slipway: SlipwayUnderTest;

beforeAll(async () => {
  slipway = await startSlipway();
  await addEmptyProject(slipway, folder);
  await slipway.publish();
  await succeed('login', slipway.url);
  await succeed('stack', 'init', stack);
  await deployment(
    ...['settings', 'edit', '--git-url', slipway.repositoryUrl, '--branch', 'main', '--folder', folder],
    ...['--skip-install-deps', '--env', 'COLOUR=blue', '--secret-env', 'API_KEY=canary-api-key'],
  );
  const run = (...args: string[]) =>
    slipway.pulumi(['deployment', 'run', ...args, '--stack', stack, streams]);
  expectSuccess(await run('update'));
  expect(await run('preview', '--pre-run-command', 'echo made to fail; exit 3')).not.toMatchObject({
    code: 0,
  });
  expectSuccess(await run('refresh'));
  await finishedDeployment(slipway, stack);
}, 300_000);

afterAll(() => slipway?.close());

const streams = '--suppress-stream-logs=false';

/** Runs the real CLI, which must succeed, and answers what it printed. */
async function succeed(...args: string[]): Promise<string> {
  return expectSuccess(await slipway.pulumi(args, { folder }), `pulumi ${args.join(' ')}`);
}

const deployment = (...args: string[]) => succeed('deployment', ...args, '--stack', stack);
const json = async (...args: string[]): Promise<unknown> =>
  JSON.parse(await deployment(...args, '--output', 'json'));

test('`deployment list` shows every deployment, the newest first, as a table', async () => {
  const table = await deployment('list');
  const rows = table.split('\n').flatMap((line) => {
    const cells = line.split('│').map((cell) => cell.trim());
    return cells[3]?.match(/^\d+$/) ? [cells.slice(2, 6)] : [];
  });
  expect(rows).toEqual([
    ['refresh', '3', 'succeeded', 'admin'],
    ['preview', '2', 'failed', 'admin'],
    ['update', '1', 'succeeded', 'admin'],
  ]);
  expect(table).toContain('Showing 3 of 3');
});

test('`deployment list --output json` holds steps, updates and who asked, in the order that was asked for', async () => {
  expect(await json('list', '--sort', 'created', '--asc')).toMatchObject({
    count: 3,
    total: 3,
    deployments: [
      {
        version: 1,
        status: 'succeeded',
        pulumiOperation: 'update',
        projectName: 'history',
        stackName: 'dev',
        requestedBy: { githubLogin: 'admin' },
        updates: [{ kind: 'update', result: 'succeeded', version: 1 }],
        jobs: [{ steps: [{ name: 'Setup' }, { name: 'Get source' }, { name: 'pulumi update' }] }],
      },
      { version: 2, status: 'failed', updates: [] },
      { version: 3, status: 'succeeded', updates: [{ kind: 'refresh', version: 2 }] },
    ],
  });
  expect(await json('list', '--count', '1')).toMatchObject({ count: 1, total: 3 });
});

test('`deployment get` finds a deployment by its number and by its id', async () => {
  const failed = {
    version: 2,
    status: 'failed',
    pulumiOperation: 'preview',
    jobs: [
      {
        status: 'failed',
        steps: [
          { name: 'Setup', status: 'succeeded' },
          { name: 'Get source', status: 'succeeded' },
          { name: 'Pre-run command', status: 'failed' },
          { name: 'pulumi preview', status: 'not-started' },
        ],
      },
    ],
  };
  const byNumber = z
    .object({ id: z.uuid() })
    .loose()
    .parse(await json('get', '2'));
  expect(byNumber).toMatchObject(failed);
  expect(await json('get', byNumber.id)).toEqual(byNumber);

  const table = await deployment('get', '2');
  expect(table).toMatch(/^Status: +failed$/m);
  expect(table).toMatch(/^Operation: +preview$/m);
});

test('`deployment log` tells why a deployment failed, whole and step by step', async () => {
  const explanation = /The step "Pre-run command" failed with exit code 3\./;
  const whole = await deployment('log', '2');
  expect(whole).toMatch(/\[Setup\].*\[Get source\].*\[Pre-run command\]\nmade to fail\n/s);
  expect(whole).toMatch(explanation);

  const step = ['log', '2', '--job', '0', '--step', '2'];
  expect(await deployment(...step)).toMatch(/^made to fail\n/);
  expect(await deployment(...step, '--offset', '1')).not.toContain('made to fail');
  const logged = z.object({ lines: z.array(z.object({ line: z.string().optional() })) });
  const { lines } = logged.parse(await json('log', '2', '--all'));
  const text = lines.map(({ line }) => line ?? '').join('');
  expect(text).toContain('made to fail\n');
  expect(text).toMatch(explanation);
});

test('`deployment settings get` shows what was set, and no secret', async () => {
  expect(await json('settings', 'get')).toMatchObject({
    source: { kind: 'git', repository: slipway.repositoryUrl, branch: 'main', folder },
    advanced: { skipInstallDependencies: true },
    environmentVariables: ['API_KEY', 'COLOUR'],
  });
  const table = await deployment('settings', 'get');
  expect(table).toContain(slipway.repositoryUrl);
  for (const shown of [table, await deployment('settings', 'get', '--output', 'json')])
    expect(shown).not.toContain('canary');
});

test('`deployment cancel` ends a queued and a running deployment, and does a finished one no harm', async () => {
  const start = async () => {
    await deployment('run', 'update', '--pre-run-command', 'echo waiting; exec sleep 600');
    const answer = await json('list', '--count', '1');
    return z.object({ deployments: z.tuple([z.object({ id: z.uuid() })]) }).parse(answer).deployments[0].id;
  };
  const status = async (id: string) => z.object({ status: z.string() }).parse(await json('get', id)).status;
  const running = await start();
  await expect
    .poll(() => deployment('log', running), { timeout: 60_000, interval: 500 })
    .toContain('waiting');
  const queued = await start();

  expect(await json('cancel', queued, '--yes')).toMatchObject({ deploymentId: queued });
  expect(await status(queued)).toBe('failed');
  expect(await status(running)).toBe('running');
  await deployment('cancel', running, '--yes');
  await expect.poll(() => status(running), { timeout: 60_000, interval: 500 }).toBe('failed');
  expect(await deployment('log', running)).toContain('The run was cancelled.');
  await deployment('cancel', running, '--yes');
  expect(await status(running)).toBe('failed');
}, 180_000);
