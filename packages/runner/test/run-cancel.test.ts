import type { RunOutline } from '@slipway/core';
import { expect, test, vi } from 'vitest';
import { Cancellation } from '../src/run/cancellation.ts';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

const cancelFrames = (sandbox: HeldSandbox) => sandbox.received.filter((frame) => frame.type === 'cancel');

/** A run whose executor is at work and has just been told to stop. */
async function cancelledRun(setting: RunSetting, outline: Partial<RunOutline> = {}) {
  setting.server.heartbeatSeconds = 0.1;
  const run = setting.server.queue(outline);
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  run.cancelled = true;
  await eventually(() => cancelFrames(sandbox).length > 0);
  return { run, sandbox };
}

test('a cancelled run has its grace, and ends as cancelled', async () => {
  await using setting = await RunSetting.create();
  const { run, sandbox } = await cancelledRun(setting, { graceSeconds: 30 });
  await eventually(() => run.count('heartbeat') > 5);
  expect(cancelFrames(sandbox)).toEqual([{ type: 'cancel', graceSeconds: 30 }]);
  expect(sandbox.isDestroyed).toBe(false);
  sandbox.say({ type: 'result', outcome: 'failed', cause: 'cancelled', message: 'It was interrupted.' });
  expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
});

test('a run that does not mind being cancelled is destroyed after its grace', async () => {
  await using setting = await RunSetting.create();
  const { run, sandbox } = await cancelledRun(setting, { graceSeconds: 1 });
  const cancelledAt = performance.now();
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  expect(finish.message).toContain('grace of 1 s');
  expect((sandbox.destroyedAt ?? 0) - cancelledAt).toBeGreaterThan(1_000);
});

test('a run that had succeeded before the cancellation reached it has succeeded', async () => {
  await using setting = await RunSetting.create();
  const { run, sandbox } = await cancelledRun(setting);
  sandbox.say(succeeded);
  expect((await eventually(() => run.finish)).outcome).toBe('succeeded');
});

test('an executor that dies of its cancellation ends as cancelled', async () => {
  await using setting = await RunSetting.create();
  const { run, sandbox } = await cancelledRun(setting);
  sandbox.exit({ signal: 'SIGINT' });
  expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
});

test('a run that is cancelled before it has its job ends at once and gets none', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  run.cancelled = true;
  await setting.start();
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
  expect(run.count('job')).toBe(0);
  expect(setting.isolation.sandboxes.every((sandbox) => sandbox.isDestroyed)).toBe(true);
  expect(setting.networks.destroyed).toBe(setting.networks.created);
});

test('a runner that is stopped claims nothing more and gives what runs its grace', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue({ graceSeconds: 20 });
  const runner = await setting.start();
  const sandbox = await setting.sandboxAtWork();
  const stopped = runner.stop();
  await eventually(() => cancelFrames(sandbox).length > 0);
  const waiting = setting.server.queue();
  expect(cancelFrames(sandbox)).toEqual([{ type: 'cancel', graceSeconds: 20 }]);
  sandbox.say({ type: 'result', outcome: 'failed', cause: 'cancelled', message: 'It was interrupted.' });
  await stopped;
  expect(run.finish).toMatchObject({ outcome: 'failed', cause: 'runner-shutdown' });
  expect(waiting.nonce).toBeUndefined();
});

test('a runner that is stopped before the job was delivered ends the run without having done anything', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  const runner = await setting.start();
  await setting.isolation.sandbox();
  await runner.stop();
  expect(run.finish).toMatchObject({ outcome: 'failed', cause: 'runner-shutdown' });
  expect(run.count('job')).toBe(0);
});

test('a run that has ended is not cancelled any more: no deadline keeps its runner from stopping', () => {
  vi.useFakeTimers();
  try {
    const interruptions: number[] = [];
    const cancellation = new Cancellation(() => undefined);
    cancellation.executorWorks((graceSeconds) => interruptions.push(graceSeconds));
    cancellation.request('cancelled', 60);
    expect(vi.getTimerCount()).toBe(1);
    cancellation.close();
    cancellation.request('runner-shutdown', 30);
    expect(vi.getTimerCount()).toBe(0);
    expect(interruptions).toEqual([60]);
  } finally {
    vi.useRealTimers();
  }
});
