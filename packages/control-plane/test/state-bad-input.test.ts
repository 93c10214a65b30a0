import { expect, test } from 'vitest';
import { server, useServer } from './use-server.ts';

useServer();

test('text that the database cannot store is refused, wherever it stands', async () => {
  const stack = await server.makeStack('nul');
  expect(await server.call('PATCH', `${stack}/tags`, { tag: 'a\u0000' })).toMatchObject({ status: 400 });
  const metadata = { message: 'a\u0000', environment: {} };
  expect(await server.call('POST', `${stack}/update`, { metadata })).toMatchObject({ status: 400 });
  expect(await server.call('GET', '/api/user/stacks?project=%00')).toMatchObject({ status: 400 });
});

test('names that the CLI does not allow, and stacks that do not exist, are told apart', async () => {
  const project = '/api/stacks/acme/shop';
  for (const stackName of ['', 'a b', 'a/b', 'ä', 'x'.repeat(101)]) {
    expect(await server.call('POST', project, { stackName })).toMatchObject({ status: 400 });
  }
  expect(await server.call('GET', `${project}/nowhere`)).toEqual({
    status: 404,
    body: { code: 404, message: "Not Found: Stack 'acme/shop/nowhere'" },
  });
  expect(await server.call('POST', '/api/stacks/strangers/shop', { stackName: 'dev' })).toMatchObject({
    status: 404,
  });
  const update = `${await server.makeStack('known')}/update/${crypto.randomUUID()}`;
  expect(await server.call('POST', update, {})).toMatchObject({ status: 404 });
  expect(await server.call('POST', `${update.slice(0, -36)}no-update`, {})).toMatchObject({ status: 400 });
});
