import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectSuccess } from './testing/pulumi-user.ts';
import { addExample, type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

let slipway: SlipwayUnderTest;

beforeAll(async () => {
  slipway = await startSlipway();
  await addExample(slipway, 'greeting');
  const pulumi = (...args: string[]) => slipway.pulumi(args, { folder: 'greeting' });
  expectSuccess(await pulumi('login', slipway.url));
  expectSuccess(await pulumi('stack', 'init', 'local/dev'));
  expectSuccess(await pulumi('config', 'set', 'name', 'Slipway', '--stack', 'local/dev'));
  expectSuccess(
    await pulumi('config', 'set', '--secret', 'signature', 'canary-signature', '--stack', 'local/dev'),
  );
  await slipway.publish();
  const settings = await pulumi(
    ...['deployment', 'settings', 'edit', '--stack', 'local/dev', '--skip-install-deps'],
    ...['--git-url', slipway.repositoryUrl, '--branch', 'main', '--folder', 'greeting'],
    ...['--env', 'COLOUR=blue', '--secret-env', 'API_KEY=canary-api-key'],
  );
  expectSuccess(settings);
}, 180_000);

afterAll(() => slipway?.close());

const deploy = (...args: string[]) =>
  slipway.pulumi(['deployment', 'run', ...args, '--stack', 'local/dev', '--suppress-stream-logs=false'], {
    folder: 'greeting',
  });

test('`pulumi deployment run update` streams the run and leaves its outputs', async () => {
  const run = await deploy('update');
  expect(run.stdout + run.stderr).toContain('Get source');
  expectSuccess(run);
  const output = await slipway.pulumi(['stack', 'output', '--json', '--stack', 'local/dev'], {
    folder: 'greeting',
  });
  expect(JSON.parse(output.stdout)).toMatchObject({ greeting: expect.stringContaining('Slipway') });
  expect(run.stdout).not.toContain('canary');
}, 300_000);

test('a failing pre-run command fails the run, and the CLI says so', async () => {
  const run = await deploy('update', '--pre-run-command', 'echo about to fail; exit 7');
  expect(run.stdout).toContain('about to fail');
  expect(run.stdout).toContain('7');
  expect(run.code).not.toBe(0);
}, 120_000);

test('processes that a command leaves behind are waited for when they end', async () => {
  const orphans = 'for n in 1 2 3 4 5; do (sleep 0.1 &); done; sleep 1; ';
  const zombies = 'echo "zombies: $(grep -l "^State:.Z" /proc/[0-9]*/status | wc -l)"; exit 3';
  const run = await deploy('update', '--pre-run-command', orphans + zombies);
  expect(run.stdout).toContain('zombies: 0');
}, 120_000);

test.each(['preview', 'refresh', 'destroy'])(
  '`pulumi deployment run %s` succeeds',
  async (operation) => {
    expectSuccess(await deploy(operation));
  },
  300_000,
);
