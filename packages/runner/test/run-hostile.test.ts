import { encodeFrame } from '@slipway/core';
import { expect, test } from 'vitest';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { line, plan, step, succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

const twoSteps = plan('Get source', 'pulumi update');

/** Bytes that stand as a frame on the channel without being one. */
function rawFrame(body: string | Buffer): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(bytes.length);
  return Buffer.concat([header, bytes]);
}

const violations: Record<string, (sandbox: HeldSandbox) => void> = {
  'a frame longer than the maximum': (sandbox) => sandbox.write(Buffer.from([0x7f, 0xff, 0xff, 0xff, 0x20])),
  'a frame that is not JSON': (sandbox) => sandbox.write(rawFrame('{"type":')),
  'a frame that is not UTF-8': (sandbox) => sandbox.write(rawFrame(Buffer.from([0x22, 0xff, 0xfe, 0x22]))),
  'a frame of an unknown type': (sandbox) => sandbox.write(rawFrame('{"type":"exploit"}')),
  'an empty frame': (sandbox) => sandbox.write(rawFrame('')),
  'ready twice': (sandbox) => sandbox.say({ type: 'ready' }),
  'two plans': (sandbox) => sandbox.say(twoSteps, twoSteps),
  'a line before the plan': (sandbox) => sandbox.say(line('line')),
  'a step before the plan': (sandbox) => sandbox.say(step(0, 'running')),
  'a gap in a log that is not full': (sandbox) =>
    sandbox.say(twoSteps, {
      ...{ type: 'log', step: 0, timestamp: Date.now() },
      ...{ lines: [], leftOut: { lines: 1, bytes: 1 } },
    }),
  'a line of a step out of the plan': (sandbox) => sandbox.say(twoSteps, line('line', 2)),
  'a step out of the plan': (sandbox) => sandbox.say(twoSteps, step(2, 'running')),
  'a step that succeeds without having run': (sandbox) => sandbox.say(twoSteps, step(0, 'succeeded')),
  'a step that runs twice': (sandbox) => {
    sandbox.say(twoSteps, step(0, 'running'), step(0, 'running'));
  },
  'a result with a cause that only its runner can know': (sandbox) =>
    sandbox.write(rawFrame('{"type":"result","outcome":"failed","cause":"runner-lost"}')),
  'a result that says it was cancelled when nobody did': (sandbox) =>
    sandbox.say(twoSteps, { type: 'result', outcome: 'failed', cause: 'cancelled' }),
  'a cache path that leads elsewhere': (sandbox) =>
    sandbox.write(
      rawFrame(`{"type":"cache-restore","key":"npm-${'0'.repeat(64)}","paths":["/cached/../etc"]}`),
    ),
  'a cache key that names a file': (sandbox) =>
    sandbox.write(rawFrame('{"type":"cache-restore","key":"../../victim","paths":["/cached"]}')),
  'a result twice': (sandbox) => sandbox.say(twoSteps, succeeded, succeeded),
  'a line after the result': (sandbox) => sandbox.say(twoSteps, succeeded, line('line')),
  'a timestamp of long ago': (sandbox) => sandbox.say(twoSteps, line('line', 0, 0)),
  'a timestamp of the far future': (sandbox) =>
    sandbox.say(twoSteps, line('line', 0, Date.parse('9999-12-31T23:59:59Z'))),
};

for (const [name, violate] of Object.entries(violations)) {
  test(`a sandbox that sends ${name} ends that run as a violation, and the next run is served`, async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    const next = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxWithJob();
    violate(sandbox);
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ outcome: 'failed', cause: 'protocol-violation' });
    expect(finish.message).toMatch(/\w/);
    expect(sandbox.isDestroyed).toBe(true);
    (await setting.sandboxWithJob(2)).say(twoSteps, succeeded);
    expect((await eventually(() => next.finish)).outcome).toBe('succeeded');
  });
}

test('an executor that speaks before it has its job gets none', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' }, twoSteps);
  expect(await eventually(() => run.finish)).toMatchObject({ cause: 'protocol-violation' });
  expect(run.count('job')).toBe(0);
});

test('lines that came before a violation are in the log', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  (await setting.sandboxWithJob()).say(twoSteps, line('the last words'), line('line', 7));
  await eventually(() => run.finish);
  expect(run.text).toContain('the last words');
});

test('an executor that ends without a result ends the run with the way it ended', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxWithJob();
  sandbox.say(twoSteps, line('about to die'));
  sandbox.exit({ signal: 'SIGKILL' });
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'executor-crashed' });
  expect(finish.message).toContain('SIGKILL');
  expect(run.text).toContain('about to die');
});

for (const cause of ['out-of-memory', 'guest-panic', 'guest-powered-off', 'disk-full'] as const) {
  test(`a sandbox that ends with ${cause} ends the run with that cause`, async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    await setting.start();
    (await setting.sandboxWithJob()).exit({ cause, message: 'the last line of the console' });
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ outcome: 'failed', cause });
    expect(finish.message).toContain('the last line of the console');
    expect(run.text.includes('the last line of the console')).toBe(cause === 'guest-panic');
  });
}

test('a death for want of memory that the executor reports is told with what the kernel saw', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxWithJob();
  const process = { name: 'MainThread', memoryMiB: 1800 };
  sandbox.knownShortages = {
    ...{ processRefusals: 0, volume: null },
    memory: { kills: 2, process, outOf: 'guest', peakMiB: 1900, limitMiB: 8168 },
  };
  sandbox.say(twoSteps, {
    type: 'result',
    outcome: 'failed',
    cause: 'out-of-memory',
    message: 'It was killed.',
  });
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'guest-out-of-memory' });
  expect(finish.message).toMatch(
    /^It was killed\. .*"node", which used 1,800 MiB,.* 1,900 MiB .*the last of 2/,
  );
});

test('an executor that hangs up and lives on is destroyed', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxWithJob();
  sandbox.hangUp();
  expect(await eventually(() => run.finish)).toMatchObject({ cause: 'executor-crashed' });
  expect(sandbox.isDestroyed).toBe(true);
});

test('an endless flood of frames starves neither the heartbeat nor another run', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 0.2;
  const flooding = setting.server.queue();
  const other = setting.server.queue();
  await setting.start({ slots: 2 });
  const [first, second] = [await setting.sandboxWithJob(1), await setting.sandboxWithJob(2)];
  const flood = first.received[0]?.type === 'job' && first.received[0].job.runId === flooding.outline.runId;
  const [hostile, peaceful] = flood ? [first, second] : [second, first];
  hostile.say(twoSteps);
  // Says nothing new, and may be said as often as one likes.
  const notStarted = encodeFrame(step(1, 'not-started'));
  const chunk = Buffer.concat(Array.from({ length: 500 }, () => notStarted));
  let flooded = true;
  const endless = (async () => {
    while (flooded) if (!hostile.write(chunk)) await hostile.drained();
  })();
  const before = flooding.count('heartbeat');
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(flooding.count('heartbeat') - before).toBeGreaterThanOrEqual(6);
  peaceful.say(twoSteps, succeeded);
  expect((await eventually(() => other.finish)).outcome).toBe('succeeded');
  flooded = false;
  await endless;
});
