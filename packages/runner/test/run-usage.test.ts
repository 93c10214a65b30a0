import { describe, expect, test } from 'vitest';
import type { UsageReading } from '../src/isolation/usage-reading.ts';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

const mebibyte = 1024 ** 2;

function readingOf(cpuMilliseconds: number, atMilliseconds: number): UsageReading {
  const use = {
    ...{ cpuMilliseconds, memoryBytes: 64 * mebibyte, volumeBytes: 10 * mebibyte },
    ...{ receivedBytes: 2 * mebibyte, sentBytes: mebibyte },
  };
  const host = { use: { ...use, memoryBytes: 300 * mebibyte }, atMilliseconds };
  return { sandbox: { use, atMilliseconds }, host };
}

/** The sandbox keeps one processor busy. */
function keepBusy(sandbox: HeldSandbox): void {
  const beganAt = performance.now();
  const now = () => Math.round(performance.now() - beganAt);
  Object.defineProperty(sandbox, 'reading', { get: () => readingOf(now(), now()) });
}

const secondsOf = (samples: Iterable<{ seconds: number }>) =>
  [...samples].reduce((sum, { seconds }) => sum + seconds, 0);

describe('what a run uses', () => {
  test('is told every five seconds and at the end, a sample for each second, and in a line of its log', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    keepBusy(sandbox);
    await eventually(() => run.usageSamples.size >= 5);
    expect(run.finish).toBeUndefined();
    const toldBefore = run.usageSamples.size;
    sandbox.say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(run.usageSamples.size).toBeGreaterThan(toldBefore);
    expect(secondsOf(run.usageSamples.values())).toBe(run.usageSamples.size);
    expect(finish.usage?.samples.length).toBeLessThanOrEqual(2);
    const { sandbox: inside, host } = run.usage ?? {};
    expect(inside).toMatchObject({ peakMemoryBytes: 64 * mebibyte, sentBytes: mebibyte });
    expect(inside?.peakCpus).toBeCloseTo(1, 1);
    expect(host).toMatchObject({ peakMemoryBytes: 300 * mebibyte, peakVolumeBytes: 10 * mebibyte });
    // A line that the executor had begun does not go on with it.
    expect(run.sortedLines.at(-1)?.kind).toBe('notice');
    expect(run.text.at(-1)).toMatch(
      /^Used at most 1\.0\d of 2 vCPU, 64 of 8,192 MiB memory and 0\.01 of 32 GiB/,
    );
    expect(finish.lastSequence).toBe(run.lines.size);
  });

  test('is told once more when an answer was lost, and each sample is the same', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    setting.server.fail('usage', 'lose', 503);
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    keepBusy(sandbox);
    await eventually(() => run.count('usage') >= 2);
    sandbox.say(succeeded);
    await eventually(() => run.finish);
    expect(secondsOf(run.usageSamples.values())).toBe(run.usageSamples.size);
    expect(run.usageSamples.size).toBeGreaterThanOrEqual(5);
  });

  test('is told at the end when a control plane takes nothing before', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    setting.server.refuse('usage', 404);
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    keepBusy(sandbox);
    await eventually(() => setting.logged.some(({ message }) => /could not be reported/.test(message)));
    sandbox.say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(finish.outcome).toBe('succeeded');
    expect(finish.usage?.samples.length).toBeGreaterThanOrEqual(5);
  });

  test('is told also of a sandbox that died at once', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.isolation.sandbox();
    sandbox.reading = readingOf(7, 0);
    sandbox.exit({ signal: 'SIGKILL', cause: 'out-of-memory' });
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({
      cause: 'out-of-memory',
      usage: { summary: { sandbox: { cpuMilliseconds: 7 } } },
    });
  });

  test('ends no run when it cannot be told', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    sandbox.usage = () => Promise.reject(new Error('the kernel is silent'));
    await eventually(() => setting.logged.some(({ message }) => /could not be told/.test(message)));
    sandbox.say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(finish.outcome).toBe('succeeded');
    expect(finish.usage).toBeUndefined();
  });
});
