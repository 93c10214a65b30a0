import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, TestRunner } from '../../packages/control-plane/test/deployments-server.ts';
import { type DocumentedServer, startDocumentedServer, uuid } from './documented-server.ts';

let documented: DocumentedServer;
beforeAll(async () => {
  documented = await startDocumentedServer('agent-pools');
});
afterAll(() => documented?.stop());

test('agent pools', async () => {
  const { server, call, stack } = documented;
  const path = '/api/orgs/acme/agent-pools';
  const operations = '/api/orgs/{orgName}/agent-pools';
  const created = await call(`POST ${operations}`, path, { name: 'gpu', description: 'large ones' });
  expect(created).toEqual({
    status: 200,
    body: { id: uuid, tokenValue: expect.stringMatching(/^slp-pool-/) },
  });
  const { id, tokenValue } = z.object({ id: z.string(), tokenValue: z.string() }).parse(created.body);
  const pool = { id, name: 'gpu', description: 'large ones', created: expect.any(Number) };
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toEqual({
    status: 200,
    body: { ...pool, agents: [] },
  });
  const runner = await TestRunner.register(server, tokenValue);
  expect(await call(`GET ${operations}`, path)).toEqual({
    status: 200,
    body: {
      defaultAgentPoolID: uuid,
      agentPools: [
        expect.objectContaining({ name: 'default', isDefault: true }),
        { ...pool, isDefault: false, lastSeen: expect.any(Number), status: 'online' },
      ],
    },
  });
  const agent = {
    ...{ hostname: 'runner-host', pid: '4711', version: '0.1.0', platform: 'linux/amd64', ip: '127.0.0.1' },
    ...{ lastSeen: expect.any(Number), status: 'online' },
  };
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({
    body: { agents: [agent] },
  });
  expect(await call(`PATCH ${operations}/{poolId}`, `${path}/${id}`, { name: 'gpus' })).toEqual({
    status: 200,
    body: { name: 'gpus', description: 'large ones' },
  });

  await deploy(server, stack, { agentPoolID: id });
  const elsewhere = await TestRunner.register(server);
  expect(await elsewhere.claim(), 'a run of another pool').toBeUndefined();
  const run = await runner.mustClaim();
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}?force=true`)).toMatchObject({
    status: 400,
  });
  await run.finish();

  await server.call('POST', `${stack}/deployments/settings`, { agentPoolID: id });
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({ status: 400 });
  expect(await call(`DELETE ${operations}/{poolId}`, `${path}/${id}?force=true`)).toEqual({
    status: 204,
    body: undefined,
  });
  expect(await call(`GET ${operations}/{poolId}`, `${path}/${id}`)).toMatchObject({ status: 404 });
});
