import { expect, test } from 'vitest';
import { deploy } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);

test('runs are listed, the newest first, with why they ended: of a stack, and of all', async () => {
  const [one, other] = [await server.makeStack('listed'), await server.makeStack('beside')];
  const failed = await deploy(server, one);
  const run = await runner.mustClaim();
  await run.job();
  await run.finish({ outcome: 'failed', cause: 'out-of-memory' });
  const beside = await deploy(server, other);
  const queued = await deploy(server, one);

  const ofOne = [
    {
      ...{ id: queued.id, stack: 'acme/shop/listed', number: 2, operation: 'update', status: 'not-started' },
      ...{ cause: null, createdAt: time, startedAt: null, modifiedAt: time },
    },
    {
      ...{ id: failed.id, stack: 'acme/shop/listed', number: 1, operation: 'update', status: 'failed' },
      ...{ cause: 'out-of-memory', createdAt: time, startedAt: time, modifiedAt: time },
    },
  ];
  const list = (path: string) => server.call('GET', `/api/slipway${path}`);
  expect(await list('/stacks/acme/shop/listed/runs')).toEqual({ status: 200, body: { runs: ofOne } });
  expect(await list('/runs?limit=2')).toMatchObject({
    body: { runs: [{ id: queued.id }, { id: beside.id }] },
  });
  expect(await list('/stacks/acme/shop/missing/runs')).toMatchObject({ status: 404 });
  expect(await list('/runs?limit=101')).toMatchObject({ status: 400 });
});

test('nobody is told of runs of organizations that are not theirs', async () => {
  const stack = await server.makeStack('private');
  await deploy(server, stack);
  const { db } = server.server.controlPlane;
  await db.deleteFrom('organization_members').execute();
  expect(await server.call('GET', '/api/slipway/runs')).toMatchObject({ status: 200, body: { runs: [] } });
  expect(await server.call('GET', '/api/slipway/stacks/acme/shop/private/runs')).toMatchObject({
    status: 404,
  });
});
