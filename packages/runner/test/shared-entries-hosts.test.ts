import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '@slipway/control-plane';
import { maximumPieceBytes, registerResponse, runnerContractPath } from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { ExecutorInTest, key, paths } from './run-cache-setting.ts';
import { eventually, RunSetting } from './run-setting.ts';

type Server = Awaited<ReturnType<typeof startServer>>;

let directory: string;
let server: Server;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-hosts-'));
  const listening = { host: '127.0.0.1', port: 0, organization: 'acme' };
  server = await startServer({ dataDirectory: directory, ...listening });
});
afterAll(async () => {
  await server?.close();
  await rm(directory, { recursive: true, force: true });
});

async function call<T>(path: string, token: string, body: object, schema: z.ZodType<T>): Promise<T> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { authorization: `token ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
  return schema.parse(JSON.parse(text));
}

/** A runner of the pool whose sandboxes the test holds, with a cache of its own. */
async function host(): Promise<RunSetting> {
  const setting = await RunSetting.create();
  await setting.openCache();
  await setting.start({ serverUrl: server.url, poolToken: server.poolToken });
  return setting;
}

/** Runs a deployment on `setting`, the only runner there is. */
async function deploy(setting: RunSetting, body: (executor: ExecutorInTest) => Promise<void>) {
  const { id } = await call(
    '/api/stacks/acme/shop/dev/deployments',
    server.adminToken,
    {
      operation: 'update',
      sourceContext: { git: { repoUrl: 'https://git.example.com/shop.git', branch: 'main' } },
      cacheOptions: { enable: true },
    },
    z.object({ id: z.string() }),
  );
  const sandbox = await setting.isolation.sandbox();
  sandbox.say({ type: 'ready' });
  const executor = new ExecutorInTest(sandbox);
  await executor.next('job');
  executor.say({ type: 'plan', steps: ['Restore cache', 'Save cache'] });
  await body(executor);
  executor.say({ type: 'result', outcome: 'succeeded' });
  await eventually(() => sandbox.isDestroyed);
  return id;
}

test('what a run on one host has installed is there for a run on another one', async () => {
  await call('/api/stacks/acme/shop', server.adminToken, { stackName: 'dev' }, z.unknown());
  const other = { hostname: 'other-host', pid: 1, version: '0.1.0', platform: 'linux/amd64' };
  const registration = { ...other, isolation: 'container', slots: 1 };
  await call(`${runnerContractPath}/register`, server.poolToken, registration, registerResponse);
  const archive = randomBytes(maximumPieceBytes + 1000);
  {
    await using first = await host();
    await deploy(first, async (executor) => {
      expect(await executor.restore({ key, paths })).toMatchObject({ entry: 'none' });
      expect(await executor.save(archive)).toMatchObject({ entryBytes: archive.length });
    });
    // Sent after the run, which does not wait for it.
    await eventually(() => readdirSync(join(directory, 'blobs')).some((name) => name.endsWith('.blob')));
  }
  await using second = await host();
  await deploy(second, async (executor) => {
    expect(await executor.restore({ key, paths })).toMatchObject({ entry: 'archive' });
    expect((await executor.readAll()).equals(archive)).toBe(true);
  });
}, 60_000);
