import { expect, test } from 'vitest';
import { waitMilliseconds } from '../src/control-plane-client/retry.ts';
import { checkServerUrl } from '../src/control-plane-client/server-url.ts';
import { eventually, RunSetting } from './run-setting.ts';

test('plain HTTP beyond loopback is refused unless it is meant', () => {
  expect(() => checkServerUrl('http://slipway.example.com', false)).toThrow(/--insecure-http/);
  expect(() => checkServerUrl('http://127.0.0.1.example.com', false)).toThrow(/--insecure-http/);
  for (const url of ['http://localhost:8900', 'http://127.0.0.1:8900', 'http://[::1]:8900'])
    expect(checkServerUrl(url, false).href).toBe(`${url}/`);
  expect(checkServerUrl('http://slipway.example.com', true).protocol).toBe('http:');
  expect(checkServerUrl('https://slipway.example.com/below/', false).pathname).toBe('/below');
  expect(() => checkServerUrl('ftp://slipway.example.com', false)).toThrow(/https/);
  expect(() => checkServerUrl('slipway', false)).toThrow(/not a URL/);
});

test('waits between tries grow up to their bound and are spread', () => {
  const backOff = { firstMilliseconds: 100, mostMilliseconds: 1_000 };
  expect(waitMilliseconds(backOff, 1, 1)).toBe(100);
  expect(waitMilliseconds(backOff, 3, 0)).toBe(200);
  expect(waitMilliseconds(backOff, 3, 1)).toBe(400);
  expect(waitMilliseconds(backOff, 1_000_000, 1)).toBe(1_000);
});

test('a pool token that is refused ends the start with the refusal', async () => {
  await using setting = await RunSetting.create();
  setting.server.fail('register', 401);
  await expect(setting.start()).rejects.toThrow(/refused "register" \(401\)/);
});

test('a control plane that is not there yet is waited for', async () => {
  await using setting = await RunSetting.create();
  setting.server.fail('register', 503, 'lose');
  const runner = await setting.start();
  expect(runner.poolName).toBe('default');
});

test('a control plane that has forgotten the runner is told again who it is', async () => {
  await using setting = await RunSetting.create();
  setting.server.fail('claim', 404);
  await setting.start();
  await eventually(() => setting.server.registrations === 2);
  const run = setting.server.queue();
  await eventually(() => run.nonce);
});

test('a runner executes as many runs at once as it has slots', async () => {
  await using setting = await RunSetting.create();
  for (let count = 0; count < 3; count += 1) setting.server.queue();
  const runner = await setting.start({ slots: 2 });
  await setting.isolation.sandbox(2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(runner.liveRuns).toBe(2);
  expect(setting.isolation.sandboxes).toHaveLength(2);
});
