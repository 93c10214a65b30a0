import { expect, test } from 'vitest';
import { TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

test('events are read in order, each once, to the last, in whatever order they arrive', async () => {
  const stack = await server.makeStack('events');
  const update = await TestUpdate.start(server, stack);
  expect((await update.page()).continuationToken).toBe('0');
  await update.events(3, 2);
  expect(await update.page()).toMatchObject({ sequences: [], continuationToken: '0' });
  await update.events(0, 1);
  await update.events(1, 2, 3);
  const page = await update.page();
  expect(page).toMatchObject({ sequences: [0, 1, 2, 3], continuationToken: '4' });
  // 4 never arrives: what follows it is read once the update is over.
  await update.events(5, 6);
  expect(await update.page('4')).toMatchObject({ sequences: [], continuationToken: '4' });
  await update.complete();
  expect(await update.page('4')).toMatchObject({ sequences: [5, 6], continuationToken: null });
});

test('a token beyond all numbers of events is refused, and one that is no number', async () => {
  const { path } = await TestUpdate.start(server, await server.makeStack('tokens'));
  const status = async (token: string) =>
    (await server.call('GET', `${path}/events?continuationToken=${token}`)).status;
  expect(await status('2147483647')).toBe(200);
  for (const token of ['2147483648', '99999999999999999999', '-1', '1.5', 'next'])
    expect(await status(token), token).toBe(400);
});

test('more events than a page holds are all read', async () => {
  const stack = await server.makeStack('many-events');
  const update = await TestUpdate.start(server, stack);
  await update.events(...Array.from({ length: 1000 }, (_, n) => n));
  await update.events(...Array.from({ length: 201 }, (_, n) => 1000 + n));
  await update.complete();
  const read: number[] = [];
  for (let token: string | null = '0'; token !== null; ) {
    const page = await update.page(token);
    read.push(...page.sequences);
    token = page.continuationToken;
  }
  expect(read).toEqual(Array.from({ length: 1201 }, (_, n) => n));
});

test('an update that ends without a word gets a last event that says that it failed', async () => {
  const stack = await server.makeStack('silent');
  const update = await TestUpdate.start(server, stack);
  await update.events(0, 1);
  await update.loseLease();
  const page = await update.page();
  expect(page.continuationToken).toBeNull();
  expect(page.events[2]).toMatchObject({ sequence: 2, summaryEvent: { result: 'failed', isPreview: false } });
});
