import { expect, test } from 'vitest';
import { pauseRunner, resumeRunner } from '../src/index.ts';
import { eventually, RunSetting } from './run-setting.ts';

test('a paused runner lets its runs go on, says that it is paused, and claims nothing until it is resumed', async () => {
  await using setting = await RunSetting.create();
  setting.server.queue();
  const runner = await setting.start({ slots: 2 });
  await setting.isolation.sandbox(1);
  await pauseRunner(setting.directory);
  await eventually(() => setting.server.claims.at(-1)?.isPaused);
  setting.server.queue();
  // Whatever the claim is answered from here on, it has offered no room.
  expect(setting.server.claims.at(-1)?.capacity.now).toEqual({ cpus: 0, memoryMiB: 0, volumeGiB: 0 });
  expect(runner.liveRuns).toBe(1);
  expect(await resumeRunner(setting.directory)).toBe(true);
  await setting.isolation.sandbox(2);
  expect(await resumeRunner(setting.directory)).toBe(false);
});

test('a runner that was paused starts paused', async () => {
  await using setting = await RunSetting.create();
  await pauseRunner(setting.directory);
  setting.server.queue();
  await setting.start();
  await eventually(() => setting.server.claims[0]);
  expect(setting.server.claims[0]?.isPaused).toBe(true);
});

test('a draining runner claims nothing more, and answers when the last of its runs has ended', async () => {
  await using setting = await RunSetting.create();
  setting.server.queue();
  const runner = await setting.start({ slots: 2 });
  const sandbox = await setting.isolation.sandbox(1);
  await eventually(() => setting.server.waitingClaims === 1);
  let isDrained = false;
  const drained = runner.drain(60).then(() => {
    isDrained = true;
  });
  await eventually(() => setting.server.waitingClaims === 0);
  const waiting = setting.server.queue();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(isDrained).toBe(false);
  expect(sandbox.isDestroyed).toBe(false);
  sandbox.exit();
  await drained;
  expect(waiting.nonce).toBeUndefined();
  expect(setting.server.runs[0]?.finish?.cause).not.toBe('runner-shutdown');
});

test('a run that does not end in time is cancelled by the stop that follows', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  const runner = await setting.start();
  await setting.isolation.sandbox(1);
  await runner.drain(0.05);
  expect(runner.liveRuns).toBe(1);
  await runner.stop(0);
  expect(run.finish?.cause).toBe('runner-shutdown');
});
