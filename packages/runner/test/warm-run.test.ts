import { defaultRunSandbox } from '@slipway/core';
import { expect, test } from 'vitest';
import { line, plan, step } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';
import { carryOut, jobs, waiting, warm } from './warm-setting.ts';

const otherStack = { organization: 'acme', project: 'shop', stack: 'other' };

test('a run takes the sandbox that waits for it, and the network that it has is opened for this run alone', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm, proxy: {} });
  const sandbox = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  expect(setting.openedFor).toEqual([]);
  expect(setting.networks).toEqual({ created: 1, destroyed: 0 });

  const egress = { mode: 'allow' as const, hosts: ['git.example.com'] };
  const run = setting.server.queue({ sandbox: { ...defaultRunSandbox, egress } });
  await carryOut(sandbox, run);
  expect(setting.openedFor).toEqual([egress]);
  expect(run.text.join('\n')).toMatch(/Taking a sandbox that was started \d+ s ago/);
  expect(run.sandbox).toMatchObject({ isolation: 'container', imageDigest: 'sha256:1111' });
  expect(Object.keys(run.finish?.phaseMilliseconds ?? {})).toContain('warm');
  expect(Object.keys(run.finish?.phaseMilliseconds ?? {})).not.toContain('boot');
});

test('a run has used what came after it took the sandbox: to start that was for nobody', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const sandbox = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  const use = { memoryBytes: 77, volumeBytes: 5, receivedBytes: 9_000, sentBytes: 9_000 };
  let cpuMilliseconds = 90_000;
  const reading = () => ({ use: { ...use, cpuMilliseconds }, atMilliseconds: performance.now() });
  let looks = 0;
  sandbox.usage = async () => {
    looks += 1;
    return { sandbox: reading(), host: reading() };
  };
  const run = setting.server.queue();
  await eventually(() => jobs(sandbox).length > 0 && looks > 0);
  cpuMilliseconds += 150;
  await carryOut(sandbox, run);
  const peaks = { cpuMilliseconds: 150, peakMemoryBytes: 77, receivedBytes: 0, sentBytes: 0 };
  expect(run.usage).toMatchObject({ sandbox: peaks, host: peaks });
});

test('no job is asked for before the network leads where the run may go', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const sandbox = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  const opened = Promise.withResolvers<void>();
  setting.openNetwork = () => opened.promise;
  const run = setting.server.queue();
  await eventually(() => setting.openedFor.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(run.count('job')).toBe(0);
  opened.resolve();
  await carryOut(sandbox, run);
});

test('one whose network cannot be opened is destroyed, and the run gets a new one', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const kept = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  setting.openNetwork = () => {
    setting.openNetwork = () => Promise.resolve();
    return Promise.reject(new Error('nft is gone'));
  };
  const run = setting.server.queue();
  await carryOut(await waiting(setting, 2), run);
  expect(run.finish?.outcome).toBe('succeeded');
  expect(run.text.join('\n')).toMatch(/the network of the one that waited could not be opened/);
  expect(kept.isDestroyed).toBe(true);
  expect(jobs(kept)).toEqual([]);
  expect(
    String(Object.entries(setting.logged.find(({ level }) => level === 'warn')?.fields ?? {})),
  ).toContain('nft is gone');
});

test('of two runs that come at once, exactly one run gets it', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm, slots: 2 });
  const sandboxes = [await waiting(setting, 1)];
  await eventually(() => runner.warmSandboxes === 1);
  const runs = [setting.server.queue(), setting.server.queue({ stack: otherStack })];
  sandboxes.push(await waiting(setting, 2));
  await eventually(() => sandboxes.every((sandbox) => jobs(sandbox).length === 1));
  expect(sandboxes.flatMap(jobs).sort()).toEqual(runs.map(({ outline }) => outline.runId).sort());
  expect(setting.openedFor).toHaveLength(2);
});

test('none is started while a run starts: it is replaced when the run has told its first line', async () => {
  await using setting = await RunSetting.create();
  await setting.start({ warm });
  const sandbox = await waiting(setting, 1);
  const run = setting.server.queue();
  await eventually(() => jobs(sandbox).length === 1);
  sandbox.say(plan('Get source'), step(0, 'running'));
  await eventually(() => run.steps.some(({ name }) => name === 'Get source'));
  expect(setting.isolation.sandboxes).toHaveLength(1);
  sandbox.say(line('Cloning'));
  await setting.isolation.sandbox(2);
  expect(run.finish).toBeUndefined();
});

test('a run that comes while it is started takes it as soon as it is ready', async () => {
  await using setting = await RunSetting.create();
  await setting.start({ warm });
  const sandbox = await setting.isolation.sandbox(1);
  const run = setting.server.queue();
  await eventually(() => run.text.length > 0);
  sandbox.say({ type: 'ready' });
  await carryOut(sandbox, run);
  expect(jobs(sandbox)).toEqual([run.outline.runId]);
});

test.each([
  [
    'another size',
    { sandbox: { ...defaultRunSandbox, size: { cpus: 1 } } },
    /those that are kept have another size/,
  ],
  [
    'another image',
    { imageReference: 'registry.example.com/other:1' },
    /none is kept for the image "registry.example.com\/other:1"/,
  ],
])(
  'a run that wants %s gets a new one, is told why, and leaves the other waiting',
  async (_what, wanted, why) => {
    await using setting = await RunSetting.create();
    const runner = await setting.start({ warm });
    const kept = await waiting(setting, 1);
    await eventually(() => runner.warmSandboxes === 1);
    const run = setting.server.queue(wanted);
    await carryOut(await waiting(setting, 2), run);
    expect(run.text.join('\n')).toMatch(why);
    expect(jobs(kept)).toEqual([]);
    expect(kept.isDestroyed).toBe(false);
    expect(runner.warmSandboxes).toBe(1);
  },
);

test('one that is taken before it is ready, and never is, fails no run either', async () => {
  await using setting = await RunSetting.create();
  await setting.start({ warm });
  const useless = await setting.isolation.sandbox(1);
  const run = setting.server.queue();
  await eventually(() => run.text.length > 0);
  useless.exit({ cause: 'guest-panic', message: 'The kernel stopped.' });
  await carryOut(await waiting(setting, 2), run);
  expect(run.finish?.outcome).toBe('succeeded');
  expect(useless.isDestroyed).toBe(true);
});
