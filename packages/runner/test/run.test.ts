import { expect, test } from 'vitest';
import { ImageUnavailableError } from '../src/index.ts';
import { eventually, RunSetting } from './run-setting.ts';

const timestamp = () => Date.now();

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
    { type: 'log', step: 0, timestamp: timestamp(), lines: ['cloned with hunter2hunter2'] },
    { type: 'step', step: 0, status: 'succeeded', timestamp: timestamp() },
    { type: 'step', step: 1, status: 'running', timestamp: timestamp() },
    { type: 'log', step: 1, timestamp: timestamp(), lines: ['created'] },
    { type: 'log', step: 1, timestamp: timestamp(), lines: ['a piece'], piece: { line: 3, isLast: true } },
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
    [2, 'line', 'a piece'],
  ]);
  expect(run.sortedLines.map(({ piece }) => piece).slice(-2)).toEqual([undefined, { line: 3, isLast: true }]);
  expect(sandbox.isDestroyed).toBe(true);
  expect(setting.networks).toEqual({ created: 1, destroyed: 1 });
});

test('a run whose settings name an image has it fetched with the login that they name', async () => {
  await using setting = await RunSetting.create();
  setting.imagesAreNearlyFull = true; // So nothing is prepared meanwhile.
  const asked: unknown[] = [];
  setting.images = {
    resolve: async (reference, options) => {
      asked.push([reference, options?.credentials]);
      throw new ImageUnavailableError(reference, 'as the test wants it');
    },
  };
  const credentials = { username: 'robot', password: 'hunter2hunter2' };
  setting.server.queue({ imageReference: 'registry.example.com/app:1' }).imageCredentials = credentials;
  setting.server.queue({ imageReference: 'registry.example.com/public:1' });
  setting.server.queue({ imageReference: null }).imageCredentials = credentials;
  await setting.start();
  await eventually(() => setting.server.runs.every(({ finish }) => finish?.cause === 'image-unavailable'));
  expect(asked).toEqual([
    ['registry.example.com/app:1', credentials],
    ['registry.example.com/public:1', null],
    ['localhost/slipway/executor:latest', undefined],
  ]);
});

test('an image is kept until its run has ended, and a run that is cancelled does not wait for it', async () => {
  await using setting = await RunSetting.create();
  setting.imagesAreNearlyFull = true; // So nothing is prepared meanwhile.
  const { resolve } = setting.images;
  let released = 0;
  const release = async () => {
    released += 1;
  };
  const slow = Promise.withResolvers<void>();
  setting.images = {
    resolve: async (reference) => {
      if (reference.includes('slow')) await slow.promise;
      return { ...(await resolve(reference)), release };
    },
  };
  const first = setting.server.queue({ imageReference: 'registry.example.com/app:1' });
  setting.server.leaseSeconds = 6;
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  expect(released).toBe(0);
  sandbox.exit();
  await eventually(() => first.finish);
  expect(released).toBe(1);

  const second = setting.server.queue({ imageReference: 'registry.example.com/slow:1' });
  await eventually(() => second.count('image-credentials') > 0);
  second.cancelled = true;
  expect((await eventually(() => second.finish)).cause).toBe('cancelled');
  expect(released).toBe(1);
  slow.resolve();
  await eventually(() => released === 2);
});
