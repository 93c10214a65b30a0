import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { isLoopback } from '../src/stacks/journaling.ts';
import { deploy, TestRunner, type TestServer } from './deployments-server.ts';
import { resultsOf, TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

const resources = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    urn: `urn:pulumi:s::shop::a:b:C::${index}`,
    type: 'a:b:C',
  }));

const exported = z.object({
  deployment: z.looseObject({
    resources: z.array(z.looseObject({ urn: z.string() })).default([]),
    secrets_providers: z.object({ state: z.object({ url: z.string() }) }).optional(),
  }),
});
const stateOf = async (stack: string) =>
  (await server.expectCall(exported, 200, 'GET', `${stack}/export`)).deployment;

test('the whole state that an update wrote last is the state while it runs and after it, however it ends', async () => {
  const stack = await server.makeStack('whole');
  const update = await TestUpdate.start(server, stack);
  const port = new URL(server.server.url).port;
  const secrets_providers = { type: 'service', state: { url: `http://127.0.0.1:${port}/` } };
  const state = (count: number) => ({
    version: 3,
    deployment: { secrets_providers, resources: resources(count) },
  });
  expect(await update.call('PATCH', 'checkpoint', state(1))).toBe(204);
  expect(await update.call('PATCH', 'checkpoint', state(2))).toBe(204);
  const reached = { resources: resources(2), secrets_providers: { state: { url: server.server.url } } };
  expect(await stateOf(stack)).toMatchObject(reached);

  await update.loseLease();
  expect(await update.call('PATCH', 'checkpoint', state(3))).toBe(403);
  const next = await TestUpdate.start(server, stack);
  expect(await stateOf(stack)).toMatchObject(reached);
  await next.complete();
  expect(await stateOf(stack)).toMatchObject(reached);
  expect(await resultsOf(server, stack)).toEqual(['succeeded', 'failed']);
});

test('what is no state ends its update as failed, and the stack stays as it was', async () => {
  const stack = await server.makeStack('no-state');
  const first = await TestUpdate.start(server, stack);
  await first.checkpoint('before');
  await first.complete();
  for (const body of ['{"version":', '{"version":3,"deployment":{"resources":1}}']) {
    const update = await TestUpdate.start(server, stack);
    expect(await update.call('PATCH', 'checkpoint', body)).toBe(204);
    expect(await stateOf(stack)).toMatchObject({ mark: 'before' });
    expect(await update.complete()).toBe(200);
    expect((await resultsOf(server, stack))[0]).toBe('failed');
    expect(await stateOf(stack)).toMatchObject({ mark: 'before' });
  }
});

test('a whole state is at most as large as any body, also packed', async () => {
  const stack = await server.makeStack('large');
  const update = await TestUpdate.start(server, stack);
  const packed = (sizeMiB: number) => gzipSync(Buffer.alloc(sizeMiB * 1024 * 1024, ' '), { level: 9 });
  const write = async (body: Buffer) => {
    const headers = { authorization: update.authorization, 'content-encoding': 'gzip' };
    const url = `${server.server.url}${update.path}/checkpoint`;
    return (await fetch(url, { method: 'PATCH', headers, body: new Uint8Array(body) })).status;
  };
  expect(await write(packed(63))).toBe(204);
  expect(await write(packed(65))).toBe(413);
  // Too large for looking at its packed size alone, and no gzip.
  expect(await write(Buffer.alloc(100_000, 'x'))).toBe(400);
});

const started = z.object({ token: z.string(), journalVersion: z.number().optional() });

/** An update of a CLI that can keep a journal: whether it is to keep one. */
async function startOffering(stack: string, options: Parameters<TestServer['call']>[3] = {}) {
  const path = await TestUpdate.create(server, stack);
  const offer = { journalVersion: 1 };
  const { token, journalVersion } = await server.expectCall(started, 200, 'POST', path, offer, options);
  const write = (method: string, name: string, body: object) =>
    server.call(method, `${path}/${name}`, body, { authorization: `update-token ${token}` });
  return {
    keepsJournal: journalVersion === 1,
    endWith: async (resourceCount: number) => {
      await write('PATCH', 'checkpoint', { deployment: { resources: resources(resourceCount) } });
      await write('POST', 'complete', { status: 'succeeded' });
    },
  };
}

test('a CLI near by writes whole states of a stack that is small, and keeps a journal of one that is not', async () => {
  const stack = await server.makeStack('growing', 'near');
  const first = await startOffering(stack);
  expect(first.keepsJournal).toBe(false);
  await first.endWith(199);
  const second = await startOffering(stack);
  expect(second.keepsJournal).toBe(false);
  await second.endWith(200);
  expect((await startOffering(stack)).keepsJournal).toBe(true);
});

test('an empty stack is taken to become as large as any of its project has been', async () => {
  const large = await server.makeStack('large', 'siblings');
  await (await startOffering(large)).endWith(200);
  await (await startOffering(large)).endWith(0);
  const small = await server.makeStack('small', 'siblings');
  const first = await startOffering(small);
  expect(first.keepsJournal).toBe(true);
  await first.endWith(3);
  expect((await startOffering(small)).keepsJournal).toBe(false);
  expect((await startOffering(large)).keepsJournal).toBe(true);
});

test('a CLI whose calls are passed on, and that of a run, keeps a journal of any stack', async () => {
  const headers = { 'x-forwarded-for': '192.0.2.1' };
  const far = await server.makeStack('stack', 'far');
  expect((await startOffering(far, { headers })).keepsJournal).toBe(true);

  const runner = await TestRunner.register(server);
  const deployed = await server.makeStack('stack', 'deployed');
  await deploy(server, deployed);
  const { jobToken } = await (await runner.mustClaim()).job();
  const authorization = `token ${jobToken}`;
  expect((await startOffering(deployed, { authorization })).keepsJournal).toBe(true);
});

test.each([
  ['127.0.0.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['192.0.2.1', false],
  ['::ffff:192.0.2.1', false],
  ['fe80::1', false],
  ['', false],
])('the address "%s" is near by: %s', (address, isNear) => {
  expect(isLoopback(address)).toBe(isNear);
});
