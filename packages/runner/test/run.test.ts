import { expect, test } from 'vitest';
import { eventually, RunSetting } from './run-setting.ts';

const timestamp = () => new Date().toISOString();

test('a run goes from claim to finish, and tells its steps, its log and what it ran on', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue({}, { secrets: ['hunter2hunter2'] });
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  expect(run.count('job')).toBe(0);
  sandbox.say({ type: 'ready' });
  const [frame] = await eventually(() => sandbox.received.length > 0 && sandbox.received);
  if (frame?.type !== 'job') throw new Error('no job');
  expect(frame.job.secrets).toEqual(['hunter2hunter2']);
  expect(frame.imageEnvironment).toEqual({ NODE_OPTIONS: '--inspect' });
  expect(frame.network).toEqual({
    gatewayUrl: 'http://slipway.internal',
    extraCertificates: 'PEM of the private authority',
    proxy: {
      https: 'http://proxy.example.com:3128',
      noProxy: 'internal.example.com,localhost,127.0.0.1,::1,slipway.internal',
    },
  });
  expect(sandbox.spec.process.environment).not.toHaveProperty('NODE_OPTIONS');

  sandbox.say(
    { type: 'plan', steps: ['Get source', 'pulumi update'] },
    { type: 'step', step: 0, status: 'running', timestamp: timestamp() },
    { type: 'log', step: 0, timestamp: timestamp(), text: 'cloned with hunter2hunter2' },
    { type: 'step', step: 0, status: 'succeeded', timestamp: timestamp() },
    { type: 'step', step: 1, status: 'running', timestamp: timestamp() },
    { type: 'log', step: 1, timestamp: timestamp(), text: 'created' },
    { type: 'step', step: 1, status: 'succeeded', timestamp: timestamp() },
    { type: 'result', outcome: 'succeeded' },
  );
  const finish = await eventually(() => run.finish);
  expect(finish.outcome).toBe('succeeded');
  expect(finish.cause).toBeUndefined();
  expect(finish.lastSequence).toBe(run.lines.size);
  expect(Object.keys(finish.phaseMilliseconds).sort()).toEqual(
    [
      ...[
        'claim',
        'image',
        'network',
        'sandbox',
        'boot',
        'ready',
        'job',
        'firstLogLine',
        'execute',
        'destroy',
      ],
    ].sort(),
  );
  expect(run.steps.map(({ name, status }) => [name, status])).toEqual([
    ['Setup', 'succeeded'],
    ['Get source', 'succeeded'],
    ['pulumi update', 'succeeded'],
  ]);
  expect(run.sandbox?.kernelRelease).toBe('6.1.0-test');
  const log = run.sortedLines.map(({ step, kind, text }) => [step, kind, text]);
  expect(log).toEqual([
    [0, 'header', 'Setup'],
    [0, 'line', 'Preparing environment'],
    [0, 'line', 'Executor image "localhost/slipway/executor:latest" (sha256:1111)'],
    [0, 'line', 'Starting sandbox (isolation "container", 2 vCPU, 8192 MiB memory, 32 GiB volume)'],
    [0, 'line', 'Sandbox started (Linux 6.1.0-test)'],
    [0, 'line', 'The executor is ready; its job was delivered'],
    [1, 'header', 'Get source'],
    [1, 'line', 'cloned with ***'],
    [2, 'header', 'pulumi update'],
    [2, 'line', 'created'],
  ]);
  expect(sandbox.isDestroyed).toBe(true);
  expect(setting.networks).toEqual({ created: 1, destroyed: 1 });
});
