import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const list = z.object({
  deployments: z.array(z.object({ version: z.number(), status: z.string() })),
  itemsPerPage: z.number(),
  total: z.number(),
});

test('deployments are listed in pages, newest first, and by status', async () => {
  const stack = await server.makeStack('listed');
  for (let count = 0; count < 12; count += 1) await deploy(server, stack);
  const run = await runner.mustClaim();
  const read = async (query: string) => {
    const page = await server.expectCall(list, 200, 'GET', `${stack}/deployments${query}`);
    return {
      versions: page.deployments.map(({ version }) => version),
      total: page.total,
      size: page.itemsPerPage,
    };
  };
  expect(await read('')).toEqual({ versions: [12, 11, 10, 9, 8, 7, 6, 5, 4, 3], total: 12, size: 10 });
  expect(await read('?page=2&pageSize=10')).toEqual({ versions: [2, 1], total: 12, size: 10 });
  expect(await read('?page=9')).toEqual({ versions: [], total: 12, size: 10 });
  expect(await read('?pageSize=2&asc=true&sort=version')).toEqual({ versions: [1, 2], total: 12, size: 2 });
  expect(await read('?status=accepted')).toEqual({ versions: [1], total: 1, size: 10 });
  expect((await read('?status=not-started')).total).toBe(11);
  for (const query of ['page=0', 'pageSize=0', 'pageSize=101', 'asc=perhaps', 'status=gone', 'page=x']) {
    expect(await server.call('GET', `${stack}/deployments?${query}`), query).toMatchObject({ status: 400 });
  }
  for (let version = 2; version <= 12; version += 1) {
    const { body } = await server.call('GET', `${stack}/deployments/version/${version}`);
    const { id } = z.object({ id: z.string() }).parse(body);
    await server.call('POST', `${stack}/deployments/${id}/cancel`);
  }
  await run.finish();
  expect((await read('?status=failed')).total).toBe(11);
});

test.each([
  ['no operation', {}, 'operation'],
  ['an unknown operation', { operation: 'explode' }, 'remediate-drift'],
  [
    'an operation in the wrong place',
    { operation: 'update', operationContext: { operation: 'update' } },
    'top level',
  ],
  ['no repository', { operation: 'update' }, 'pulumi deployment settings edit'],
  ['an unknown pool', { operation: 'update', agentPoolID: 'nowhere' }, 'nowhere'],
  ['a template', { operation: 'update', sourceContext: { template: { sourceUrl: 'x' } } }, 'template'],
  [
    'commands that are no list',
    { operation: 'update', operationContext: { preRunCommands: { a: 'b' } } },
    'preRunCommands',
  ],
  [
    'a variable with "="',
    { operation: 'update', operationContext: { environmentVariables: { 'A=B': 'x' } } },
    'operationContext.environmentVariables.A=B',
  ],
  [
    'too much',
    {
      operation: 'update',
      operationContext: { preRunCommands: Array.from({ length: 5 }, () => 'x'.repeat(60_000)) },
    },
    'at most 262144',
  ],
])('a request with %s is refused with a sentence that names it', async (what, body, named) => {
  const stack = await server.makeStack(`bad-${what.replaceAll(/[^a-z]/g, '-')}`);
  const answer = await server.call('POST', `${stack}/deployments`, body);
  expect(answer).toMatchObject({ status: 400, body: { code: 400, message: expect.stringContaining(named) } });
});

test('a body that is not JSON, or no object, is refused', async () => {
  const stack = await server.makeStack('not-json');
  for (const body of ['{"operation":', '[]', '"update"', 'null']) {
    for (const [method, path] of [
      ['POST', 'deployments'],
      ['PUT', 'deployments/settings'],
    ] as const) {
      expect(await server.call(method, `${stack}/${path}`, body), body).toMatchObject({ status: 400 });
    }
  }
});

test('another organization, no token and a job token open no deployment', async () => {
  const stack = await server.makeStack('closed');
  const { id } = await deploy(server, stack);
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  for (const authorization of ['token nonsense', `token ${jobToken}`, '']) {
    for (const path of [`${stack}/deployments`, `${stack}/deployments/${id}`, `/api/slipway/runs/${id}`]) {
      expect(await server.call('GET', path, undefined, { authorization })).toMatchObject({ status: 401 });
    }
  }
  expect(await server.call('GET', `/api/stacks/other/shop/closed/deployments/${id}`)).toMatchObject({
    status: 404,
  });
  await run.finish();
});
