import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { startTestServer, type TestServer } from './deployments-server.ts';
import { resultsOf, TestUpdate } from './test-update.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());

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
