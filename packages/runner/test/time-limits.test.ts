import { defaultRunSandbox, encodeFrame, type FrameFromExecutor, type TimeLimits } from '@slipway/core';
import { describe, expect, test } from 'vitest';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { leftOut, line, plan, step, succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

const interrupted: FrameFromExecutor = {
  ...{ type: 'result', outcome: 'failed', cause: 'cancelled' },
  message: 'The step "pulumi update" was interrupted.',
};
const isAskedToStop = (sandbox: HeldSandbox) => sandbox.received.some((frame) => frame.type === 'cancel');

async function working(setting: RunSetting, timeLimits: TimeLimits, graceSeconds: number, logMiB = 256) {
  const run = setting.server.queue({ graceSeconds, sandbox: { ...defaultRunSandbox, timeLimits, logMiB } });
  await setting.start();
  const sandbox = await setting.sandboxWithJob();
  const begunAt = performance.now();
  sandbox.say(plan('Get source', 'pulumi update'));
  return { run, sandbox, seconds: () => (performance.now() - begunAt) / 1000 };
}

/** Speaks once a second until the sandbox is asked to stop. */
async function speakUntilStopped(sandbox: HeldSandbox): Promise<void> {
  const speaking = setInterval(() => sandbox.say(line('at work')), 1_000);
  await eventually(() => isAskedToStop(sandbox));
  clearInterval(speaking);
}

// The shortest limit that can be set is ten seconds.
describe.concurrent('a run is asked to stop, and ends as timed out,', { timeout: 60_000 }, () => {
  test('when it takes longer than it may', async () => {
    await using setting = await RunSetting.create();
    const { run, sandbox, seconds } = await working(setting, { runSeconds: 10, silenceSeconds: 10 }, 30);
    await speakUntilStopped(sandbox);
    expect(seconds()).toBeGreaterThan(9.8);
    expect(seconds()).toBeLessThan(12);
    sandbox.say(interrupted);
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ outcome: 'failed', cause: 'timed-out' });
    expect(finish.message).toBe(
      'It took longer than its limit of 10 s. The step "pulumi update" was interrupted.',
    );
  });

  test('when a step takes longer than it may, and not when two together do', async () => {
    await using setting = await RunSetting.create();
    const { run, sandbox, seconds } = await working(setting, { stepSeconds: 10 }, 30);
    sandbox.say(step(0, 'running'));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    sandbox.say(step(0, 'succeeded'), step(1, 'running'));
    await speakUntilStopped(sandbox);
    expect(seconds()).toBeGreaterThan(12.8);
    sandbox.say(interrupted);
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ cause: 'timed-out' });
    expect(finish.message).toContain('The step "pulumi update" took longer than its limit of 10 s.');
  });

  test('when it says nothing for too long; one that does not even stop is destroyed', async () => {
    await using setting = await RunSetting.create();
    const { run, sandbox, seconds } = await working(setting, { silenceSeconds: 10 }, 1);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    sandbox.say(line('the last word'));
    await eventually(() => isAskedToStop(sandbox));
    expect(seconds()).toBeGreaterThan(12.8);
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ outcome: 'failed', cause: 'timed-out' });
    expect(finish.message).toMatch(/^It wrote no line .* 10 s\. It did not end within its grace of 1 s/);
    expect(sandbox.isDestroyed).toBe(true);
    expect(run.text).toContain('the last word');
  });

  test('but not because the control plane takes no lines, and not without limits', async () => {
    await using setting = await RunSetting.create();
    const { run, sandbox } = await working(setting, { silenceSeconds: 10 }, 1);
    await eventually(() => run.text.length > 2);
    setting.server.refuse('log', 503);
    const text = 'x'.repeat(60_000);
    let heldUp = false;
    while (!heldUp) {
      const takenAtOnce = sandbox.write(encodeFrame(line(text)));
      if (!takenAtOnce) heldUp = await neverWithin(sandbox.drained(), 2_000);
    }
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(isAskedToStop(sandbox)).toBe(false);
    setting.server.refuse('log', undefined);
    sandbox.say(succeeded);
    expect((await eventually(() => run.finish)).outcome).toBe('succeeded');
  });

  test('but not because its log is full, as long as it writes', async () => {
    await using setting = await RunSetting.create();
    const { run, sandbox } = await working(setting, { silenceSeconds: 10 }, 1, 1);
    sandbox.say(...Array.from({ length: 20 }, () => line('x'.repeat(60_000))));
    await eventually(() => sandbox.received.some((frame) => frame.type === 'log-full'));
    const writing = setInterval(() => sandbox.say(leftOut(1_000)), 1_000);
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    clearInterval(writing);
    expect(isAskedToStop(sandbox)).toBe(false);
    sandbox.say(succeeded);
    expect((await eventually(() => run.finish)).outcome).toBe('succeeded');
  });
});

function neverWithin(work: Promise<void>, milliseconds: number): Promise<boolean> {
  return Promise.race([
    work.then(() => false),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(true), milliseconds)),
  ]);
}
