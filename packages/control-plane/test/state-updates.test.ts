import { expect, test } from 'vitest';
import * as z from 'zod';
import { resultsOf, TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

async function markOf(stack: string): Promise<string | undefined> {
  const state = z.object({ deployment: z.looseObject({ mark: z.string().optional() }) });
  return (await server.expectCall(state, 200, 'GET', `${stack}/export`)).deployment.mark;
}

test('one update at a time: the second is refused until the first is complete; previews take no lock', async () => {
  const stack = await server.makeStack('lock');
  const first = await TestUpdate.start(server, stack);
  const waiting = await TestUpdate.create(server, stack, 'destroy');
  expect(await server.call('POST', waiting, {})).toEqual({
    status: 409,
    body: { code: 409, message: 'Conflict: Another update is currently in progress.' },
  });
  const preview = await TestUpdate.start(server, stack, 'preview');
  expect(preview.version).toBe(first.version);
  expect(await preview.checkpoint('preview')).toBe(403);
  expect(await server.call('DELETE', `${stack}?force=true`)).toMatchObject({ status: 409 });
  expect(await first.complete()).toBe(200);
  expect((await server.call('POST', waiting, {})).status).toBe(200);
});

test('of ten updates started at once, one gets the stack', async () => {
  const stack = await server.makeStack('rush');
  const paths = await Promise.all(Array.from({ length: 10 }, () => TestUpdate.create(server, stack)));
  const statuses = await Promise.all(paths.map(async (path) => (await server.call('POST', path, {})).status));
  expect(statuses.sort()).toEqual([200, ...Array(9).fill(409)]);
});

test('the last checkpoint is the state, also of an update that fails; repeated calls are harmless', async () => {
  const stack = await server.makeStack('checkpoints');
  const update = await TestUpdate.start(server, stack);
  for (const mark of ['one', 'two', 'two']) expect(await update.checkpoint(mark)).toBe(204);
  expect(await update.complete('failed')).toBe(200);
  expect(await update.complete('failed')).toBe(200);
  expect(await update.complete('succeeded')).toBe(200);
  expect(await markOf(stack)).toBe('two');
  expect(await resultsOf(server, stack)).toEqual(['failed']);
});

test.each([
  ['completed', (update: TestUpdate) => update.complete()],
  ['cancelled', (update: TestUpdate) => server.call('POST', `${update.path}/cancel`)],
  ['silent for too long', (update: TestUpdate) => update.loseLease()],
])('an update that was %s writes no more, and the stack is free', async (how, end) => {
  const stack = await server.makeStack(how.replaceAll(' ', '-'));
  const update = await TestUpdate.start(server, stack);
  await update.checkpoint('before');
  await end(update);
  expect(await update.checkpoint('after')).toBe(403);
  expect(await update.call('POST', 'renew_lease', { token: '', duration: 300 })).toBe(403);
  const next = await TestUpdate.start(server, stack);
  expect(next.version).toBe(update.version + 1);
  expect(await markOf(stack)).toBe('before');
  expect(await resultsOf(server, stack)).toEqual([
    'in-progress',
    how === 'completed' ? 'succeeded' : 'failed',
  ]);
});

test('a lease that is renewed in time goes on; another token opens nothing', async () => {
  const stack = await server.makeStack('renewed');
  const update = await TestUpdate.start(server, stack);
  expect(await update.call('POST', 'renew_lease', { token: '', duration: 300 })).toBe(200);
  expect(await update.checkpoint('still')).toBe(204);
  const authorization = 'update-token slp-update-wrong';
  for (const name of ['checkpoint', 'journalentries']) {
    const body = { deployment: {}, entries: [] };
    const answer = await server.call('PATCH', `${update.path}/${name}`, body, { authorization });
    expect(answer.status).toBe(403);
  }
});
