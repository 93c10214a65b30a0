import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { resultsOf, TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

test('a journal is the state while the update runs and after it, however it ends', async () => {
  const stack = await server.makeStack('journal');
  const path = await TestUpdate.create(server, stack);
  const offered = z.object({ token: z.string(), journalVersion: z.literal(1) });
  const fromAfar = { headers: { 'x-forwarded-for': '192.0.2.1' } };
  const { token } = await server.expectCall(offered, 200, 'POST', path, { journalVersion: 1 }, fromAfar);
  const authorization = `update-token ${token}`;
  const write = async (...entries: readonly object[]) => {
    const body = {
      entries: entries.map((entry) => ({ version: 1, removeOld: null, removeNew: null, ...entry })),
    };
    return (await server.call('PATCH', `${path}/journalentries`, body, { authorization })).status;
  };
  const resource = (name: string) => ({
    urn: `urn:pulumi:journal::shop::a:b:C::${name}`,
    type: 'a:b:C',
    custom: true,
  });
  const begin = (sequenceID: number, name: string) => ({
    ...{ kind: 0, sequenceID, operationID: sequenceID },
    operation: { resource: resource(name), type: 'creating' },
  });
  const success = (sequenceID: number, operationID: number, name: string) => ({
    ...{ kind: 1, sequenceID, operationID, state: resource(name) },
  });
  const provider = { type: 'service', state: { url: `http://127.0.0.1:${new URL(server.server.url).port}` } };
  const state = z.object({
    deployment: z.object({
      resources: z.array(z.object({ urn: z.string() })).default([]),
      pending_operations: z.array(z.object({ resource: z.object({ urn: z.string() }) })).default([]),
      secrets_providers: z.object({ state: z.object({ url: z.string() }) }),
    }),
  });
  const exported = async () => {
    const { deployment } = await server.expectCall(state, 200, 'GET', `${stack}/export`);
    const names = (urns: readonly { urn: string }[]) => urns.map(({ urn }) => urn.split('::').at(-1));
    return {
      resources: names(deployment.resources),
      pending: names(deployment.pending_operations.map((operation) => operation.resource)),
      url: deployment.secrets_providers.state.url,
    };
  };
  // Whatever the order in which batches come, and however often.
  expect(await write(success(3, 2, 'one'), begin(4, 'two'))).toBe(204);
  expect(
    await write({ kind: 6, sequenceID: 1, operationID: 0, secretsProvider: provider }, begin(2, 'one')),
  ).toBe(204);
  expect(await write(success(3, 2, 'one'), begin(4, 'two'))).toBe(204);
  const reached = { resources: ['one'], pending: ['two'], url: server.server.url };
  expect(await exported()).toEqual(reached);
  expect(await write({ kind: 10, sequenceID: 5, operationID: 5 })).toBe(400);

  await sql`UPDATE updates SET lease_ends_at = now() WHERE id = ${path.split('/').at(-1)}`.execute(
    server.server.controlPlane.db,
  );
  expect(await write(success(5, 4, 'two'))).toBe(403);
  const next = await TestUpdate.start(server, stack);
  expect(await exported()).toEqual(reached);
  await next.complete();
  expect(await exported()).toEqual(reached);
  expect(await resultsOf(server, stack)).toEqual(['succeeded', 'failed']);
});

test('a preview gets no journal', async () => {
  const stack = await server.makeStack('no-journal');
  const path = await TestUpdate.create(server, stack, 'preview');
  const answer = await server.call('POST', path, { journalVersion: 1 });
  expect(answer).toMatchObject({ status: 200 });
  expect(answer.body).not.toHaveProperty('journalVersion');
});
