import { expect, test } from 'vitest';
import { line, succeeded } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';

// Those that wait for a lease to end wait for it together.
test.concurrent('a control plane that restarts ends no run, and no line is lost', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 0.2;
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  sandbox.say(line('before'));
  await eventually(() => run.text.includes('before'));
  setting.server.goSilent();
  sandbox.say(line('meanwhile'));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  sandbox.say(line('still silent'), succeeded);
  await eventually(() => sandbox.isDestroyed);
  expect(run.finish).toBeUndefined();
  setting.server.comeBack();
  expect((await eventually(() => run.finish)).outcome).toBe('succeeded');
  expect(run.text.slice(-3)).toEqual(['before', 'meanwhile', 'still silent']);
});

test.concurrent('a runner that cannot renew its lease destroys the sandbox a sixth of the lease before that ends', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 6;
  setting.server.heartbeatSeconds = 0.5;
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  setting.server.goSilent();
  const lastRenewal = run.calls.filter((call) => call.name === 'heartbeat').at(-1)?.at ?? 0;
  await eventually(() => sandbox.isDestroyed);
  const destroyedAfter = (sandbox.destroyedAt ?? 0) - lastRenewal;
  expect(destroyedAfter).toBeGreaterThan(4_800);
  expect(destroyedAfter).toBeLessThanOrEqual(5_500);
  // The lease has not ended yet: what there is to say is still taken.
  setting.server.comeBack();
  expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
});

test.concurrent('a lease counts from the moment at which its renewal was sent, however late the answer is', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 6;
  setting.server.fail('heartbeat', 'late', 'hang');
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' });
  await eventually(() => sandbox.isDestroyed);
  const sent = run.calls.find((call) => call.name === 'heartbeat')?.at ?? 0;
  expect((sandbox.destroyedAt ?? 0) - sent).toBeGreaterThan(4_800);
  expect((sandbox.destroyedAt ?? 0) - sent).toBeLessThanOrEqual(5_500);
});

test.concurrent('a lease is renewed as often as it needs, whatever the control plane said when the runner joined', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 30;
  await setting.start();
  setting.server.leaseSeconds = 6;
  const run = setting.server.queue();
  await setting.sandboxAtWork();
  await eventually(() => run.count('heartbeat') > 2);
  const [first = 0, , third = 0] = run.calls.flatMap(({ name, at }) => (name === 'heartbeat' ? [at] : []));
  expect(third - first).toBeLessThan(3_000);
});

test.concurrent('a run that is lost before its job was handed out is left to another runner', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 6;
  setting.server.heartbeatSeconds = 0.2;
  const run = setting.server.queue();
  const runner = await setting.start();
  const sandbox = await setting.isolation.sandbox();
  await eventually(() => run.count('heartbeat') > 0);
  setting.server.goSilent();
  await eventually(() => sandbox.isDestroyed);
  setting.server.comeBack();
  await eventually(() => runner.liveRuns === 0);
  expect(run.finish).toBeUndefined();
});

test('a control plane whose leases would not be safe is refused, with the reason', async () => {
  await using setting = await RunSetting.create();
  setting.server.leaseSeconds = 3;
  await expect(setting.start()).rejects.toThrow('A lease of 3 s is not safe: it would end before a sandbox');
});

test('a run that is another runner’s by now is destroyed at once and not reported', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 0.1;
  const run = setting.server.queue();
  const runner = await setting.start();
  const sandbox = await setting.sandboxAtWork();
  // Nothing is left to report: the heartbeat alone finds out.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const fencedAt = performance.now();
  run.fenced = true;
  await eventually(() => sandbox.isDestroyed);
  expect((sandbox.destroyedAt ?? 0) - fencedAt).toBeLessThan(500);
  await eventually(() => runner.liveRuns === 0);
  expect(run.finish).toBeUndefined();
});

test('the job is asked for only when the lease was renewed', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 30;
  setting.server.fail('heartbeat', 503, 503);
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' });
  await eventually(() => sandbox.received.length > 0);
  const names = run.calls.map((call) => call.name);
  expect(names).toContain('heartbeat');
  expect(names.indexOf('heartbeat')).toBeLessThan(names.indexOf('job'));
});

test('answers that are lost change nothing: each line is stored once, the run is finished once', async () => {
  await using setting = await RunSetting.create();
  for (const call of ['claim', 'heartbeat', 'steps', 'job', 'finish']) setting.server.fail(call, 'lose');
  setting.server.fail('log', 'lose', 503, 'lose');
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  sandbox.say(line('one'), line('two'), succeeded);
  const finish = await eventually(() => run.finish);
  expect(finish.outcome).toBe('succeeded');
  expect(run.text.slice(-2)).toEqual(['one', 'two']);
  expect(finish.lastSequence).toBe(run.lines.size);
  expect(setting.server.claims[0]?.nonce).toBe(setting.server.claims[1]?.nonce);
  expect(setting.isolation.sandboxes).toHaveLength(1);
});

test('finish is sent only when the sandbox is proven gone, however often that takes', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  sandbox.destroyFailures = 2;
  sandbox.say(succeeded);
  sandbox.exit({ exitCode: 0 });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(run.finish).toBeUndefined();
  const finish = await eventually(() => run.finish);
  expect(finish.outcome).toBe('succeeded');
  const finishedAt = run.calls.find((call) => call.name === 'finish')?.at ?? 0;
  expect(finishedAt).toBeGreaterThanOrEqual(sandbox.destroyedAt ?? Number.POSITIVE_INFINITY);
});

test('from the result to the finish it takes less than a second', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  const resultAt = performance.now();
  sandbox.say(line('last'), succeeded);
  await eventually(() => run.finish);
  expect((run.calls.find((call) => call.name === 'finish')?.at ?? 0) - resultAt).toBeLessThan(1_000);
});

test('the first line of a quiet log is sent at once', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const saidAt = performance.now();
  sandbox.say(line('first'));
  await eventually(() => run.text.includes('first'));
  expect(performance.now() - saidAt).toBeLessThan(250);
  // One that follows soon waits for company, but not for long.
  const followedAt = performance.now();
  sandbox.say(line('second'));
  await eventually(() => run.text.includes('second'));
  expect(performance.now() - followedAt).toBeLessThan(250);
});
