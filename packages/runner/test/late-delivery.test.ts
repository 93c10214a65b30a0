import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { FrameFromExecutor } from '@slipway/core';
import { expect, test } from 'vitest';
import { identityOf } from '../src/log-spool/process-identity.ts';
import { SpoolFolder, spoolsFolder } from '../src/log-spool/spool-folder.ts';
import type { ContractRun } from '../src/testing/contract-run.ts';
import { eventually, RunSetting } from './run-setting.ts';

const line = (text: string): FrameFromExecutor => {
  return { type: 'log', step: 0, lines: [text], timestamp: Date.now() };
};
const numbered = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => `line ${first + index}`);
const spoolsIn = (directory: string) => {
  const folder = spoolsFolder(directory);
  return existsSync(folder) ? readdirSync(folder) : [];
};

test('what a runner had read arrives when the control plane was away for longer than the lease', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 6;
  setting.server.heartbeatSeconds = 0.2;
  const run = setting.server.queue();
  const runner = await setting.start();
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' });
  await eventually(() => sandbox.received.some((frame) => frame.type === 'job'));
  sandbox.say({ type: 'plan', steps: ['Get source'] }, line('line 1'));
  await eventually(() => run.text.includes('line 1'));
  setting.server.goSilent();
  sandbox.say(...numbered(2, 5_000).map(line));
  await eventually(() => sandbox.isDestroyed);
  // The run is taken from this runner meanwhile, which then takes no line that comes with its lease token.
  run.fenced = true;
  await eventually(() => runner.liveRuns === 0);
  expect(spoolsIn(setting.directory)).toHaveLength(1);
  setting.server.comeBack();
  await eventually(() => run.lost);
  expect(run.text.filter((text) => text.startsWith('line'))).toEqual(numbered(1, 5_000));
  expect(run.count('finish')).toBe(0);
  await eventually(() => spoolsIn(setting.directory).length === 0);
}, 60_000);

test('a runner that stops meanwhile leaves the lines to the next one', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 6;
  const run = setting.server.queue();
  const runner = await setting.start();
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' });
  await eventually(() => sandbox.received.some((frame) => frame.type === 'job'));
  setting.server.goSilent();
  sandbox.say({ type: 'plan', steps: ['Get source'] }, line('line 1'));
  await eventually(() => runner.liveRuns === 0);
  await runner.stop();
  expect(spoolsIn(setting.directory)).toHaveLength(1);
  expect(run.text).not.toContain('line 1');
}, 60_000);

/** A run that was claimed by a runner which was killed; answers the process that its sandbox was. */
function leaveBehind(
  setting: RunSetting,
  run: ContractRun,
  lines: number,
  server = setting.server.url,
): number {
  run.nonce = 'claimed by another one';
  run.deliveryToken ||= crypto.randomUUID();
  const program = join(import.meta.dirname, 'fixtures/spool-leaver.ts');
  const args = [program, setting.directory, server, run.outline.runId, run.deliveryToken, String(lines)];
  try {
    execFileSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  } catch (error) {
    // It kills itself.
    if (error instanceof Error && 'stdout' in error) return Number(String(error.stdout));
  }
  throw new Error('the runner was not killed');
}

const isAlive = (processId: number) => identityOf(processId) !== undefined;

test('a new runner delivers what a killed one had read, ends its sandbox, and only then says that it was lost', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  // Some of them had arrived before.
  const timestamp = new Date().toISOString();
  const text = numbered(1, 700).join('\n');
  run.take([{ sequence: 1, lineCount: 700, step: 1, kind: 'line', timestamp, text }]);
  const sandbox = leaveBehind(setting, run, 10_000);
  expect(isAlive(sandbox)).toBe(true);
  let livedWhenLost: boolean | undefined;
  setting.server.heard = (name) => {
    if (name === 'lost') livedWhenLost ??= isAlive(sandbox);
  };
  await setting.start();
  await eventually(() => run.lost);
  expect(run.text).toEqual(numbered(1, 10_000));
  expect(livedWhenLost).toBe(false);
  await eventually(() => spoolsIn(setting.directory).length === 0);
});

test('answers that are lost and a control plane that is not there yet change nothing', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  leaveBehind(setting, run, 5_000);
  setting.server.fail('late-log', 503, 'lose', 503, 'lose');
  setting.server.fail('lost', 'lose');
  await setting.start();
  await eventually(() => spoolsIn(setting.directory).length === 0);
  expect(run.lost).toBe(true);
  expect(run.text).toEqual(numbered(1, 5_000));
});

test('lines that nobody waits for are dropped', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  leaveBehind(setting, run, 10);
  run.lost = true;
  await setting.start();
  await eventually(() => spoolsIn(setting.directory).length === 0);
  expect(run.text).toEqual([]);
});

test('spools of a runner that lives, and of other control planes for a day, are left alone; rubbish is removed', async () => {
  await using setting = await RunSetting.create();
  const elsewhere = setting.server.queue();
  leaveBehind(setting, elsewhere, 10, 'https://slipway.example.com');
  const own = { runId: 'mine', serverUrl: setting.server.url, deliveryToken: 'token' };
  const living = SpoolFolder.create(setting.directory, own);
  execFileSync('mkdir', [join(spoolsFolder(setting.directory), 'rubbish')]);
  expect(spoolsIn(setting.directory)).toHaveLength(3);
  await setting.start();
  await eventually(() => spoolsIn(setting.directory).length === 2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(spoolsIn(setting.directory)).toHaveLength(2);
  expect(elsewhere.calls).toEqual([]);

  const [left = ''] = spoolsIn(setting.directory).filter((name) => name.startsWith(elsewhere.outline.runId));
  const yesterday = Date.now() / 1000 - 25 * 60 * 60;
  const folder = join(spoolsFolder(setting.directory), left);
  for (const name of readdirSync(folder)) utimesSync(join(folder, name), yesterday, yesterday);
  await setting.restart();
  await eventually(() => spoolsIn(setting.directory).length === 1);
  living.remove();
});
