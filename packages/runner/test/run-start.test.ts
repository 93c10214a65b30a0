import { expect, test } from 'vitest';
import { SandboxStartError } from '../src/isolation/isolation.ts';
import { eventually, RunSetting } from './run-setting.ts';

class ImageMissing extends Error {
  readonly runCause = 'image-unavailable';
}

test('an image that cannot be used ends the run with the image’s name and leaves no network', async () => {
  await using setting = await RunSetting.create();
  setting.images = {
    resolve: (reference) => Promise.reject(new ImageMissing(`There is no "${reference}".`)),
  };
  const run = setting.server.queue({ imageReference: 'registry.example.com/none:1' });
  await setting.start();
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'image-unavailable' });
  expect(finish.message).toBe('There is no "registry.example.com/none:1".');
  expect(run.steps).toMatchObject([{ name: 'Setup', status: 'failed' }]);
  expect(setting.networks).toEqual({ created: 1, destroyed: 1 });
});

test('a sandbox that cannot be started ends the run with the reason', async () => {
  await using setting = await RunSetting.create();
  setting.isolation.createFailure = new SandboxStartError('There is no room for the volume.');
  const run = setting.server.queue();
  await setting.start();
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ cause: 'sandbox-failed', message: 'There is no room for the volume.' });
});

test('a sandbox that does not boot ends the run with the reason', async () => {
  await using setting = await RunSetting.create();
  const failure = Promise.reject(new SandboxStartError('The kernel stopped.', 'guest-panic'));
  failure.catch(() => undefined);
  setting.isolation.started = failure;
  const run = setting.server.queue();
  await setting.start();
  expect(await eventually(() => run.finish)).toMatchObject({ cause: 'guest-panic' });
  expect(setting.isolation.sandboxes[0]?.isDestroyed).toBe(true);
});

test('an executor that is never ready ends the run at the start deadline', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  await setting.start({ startDeadlineSeconds: 0.5 });
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'sandbox-failed' });
  expect(finish.message).toContain('0.5 s');
  expect(setting.isolation.sandboxes[0]?.isDestroyed).toBe(true);
});

test('a control plane that refuses the log ends the run with the refusal', async () => {
  await using setting = await RunSetting.create();
  setting.server.fail('log', 413);
  const run = setting.server.queue();
  await setting.start();
  const finish = await eventually(() => run.finish);
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'internal-error' });
  expect(finish.message).toContain('413');
});

test('software emulation is said in one plain sentence', async () => {
  await using setting = await RunSetting.create();
  const facts = { kernelRelease: '6.1', bootId: 'boot', kernelDigest: null, initramfsDigest: null };
  setting.isolation.started = Promise.resolve({ accelerated: false, ...facts });
  const run = setting.server.queue();
  await setting.start();
  await eventually(() => run.text.some((text) => text.includes('software emulation')));
  expect(run.sandbox?.accelerated).toBe(false);
});
