import { beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, organization } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();
let poolPath: string;
beforeAll(async () => {
  const pools = await server.expectCall(
    z.object({ defaultAgentPoolID: z.string() }),
    200,
    'GET',
    `/api/orgs/${organization}/agent-pools`,
  );
  poolPath = `/api/slipway/orgs/${organization}/agent-pools/${pools.defaultAgentPoolID}/sandbox`;
});

const sandboxOf = (stack: string) => `${stack.replace('/api/stacks', '/api/slipway/stacks')}/sandbox`;
const request = {
  operation: 'update',
  sourceContext: { git: { repoUrl: 'https://git.example.com/shop.git', branch: 'main' } },
};

test('a run is granted what pool and stack say when it is queued, and keeps it', async () => {
  const stack = await server.makeStack('granted');
  await server.call('PUT', poolPath, { defaults: { size: { cpus: 1, memoryMiB: 4096 } }, maximum: {} });
  const put = await server.call('PUT', sandboxOf(stack), {
    size: { memoryMiB: 1024 },
    egress: { mode: 'none' },
  });
  expect(put).toMatchObject({
    status: 200,
    body: {
      settings: { size: { memoryMiB: 1024 }, egress: { mode: 'none' } },
      effective: {
        size: { cpus: 1, memoryMiB: 1024 },
        egress: { mode: 'none' },
        timeLimits: {},
        logMiB: 256,
      },
      pool: { name: 'default' },
    },
  });
  await deploy(server, stack, request);
  await server.call('PUT', sandboxOf(stack), {});
  const run = await runner.mustClaim();
  expect(run.claim.run.sandbox).toEqual({
    size: { cpus: 1, memoryMiB: 1024 },
    largestSize: {},
    cacheScope: 'project',
    egress: { mode: 'none' },
    timeLimits: {},
    logMiB: 256,
  });
  await run.finish();
});

test('a stack that asks for more than its pool allows is told what and how much', async () => {
  const stack = await server.makeStack('greedy');
  await server.call('PUT', poolPath, { maximum: { size: { memoryMiB: 4096 } } });
  const refused = await server.call('PUT', sandboxOf(stack), { size: { memoryMiB: 65_536 } });
  expect(refused).toMatchObject({
    status: 400,
    body: {
      message:
        'Bad Request: "size.memoryMiB" is 65536, and the pool allows at most 4096. Ask for less, or raise the maximum of the pool "default".',
    },
  });
  expect(await server.call('GET', sandboxOf(stack))).toMatchObject({ status: 200, body: { settings: {} } });
  const contradiction = { defaults: { size: { cpus: 4 } }, maximum: { size: { cpus: 2 } } };
  expect((await server.call('PUT', poolPath, contradiction)).status).toBe(400);
  expect((await server.call('PUT', poolPath, { defaults: { sise: {} } })).status).toBe(400);
});

test('the sandbox settings of another organization are not there', async () => {
  const elsewhere = poolPath.replace(`/orgs/${organization}/`, '/orgs/elsewhere/');
  expect((await server.call('GET', elsewhere)).status).toBe(404);
  expect((await server.call('PUT', elsewhere, {})).status).toBe(404);
});
