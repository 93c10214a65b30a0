import { expect, test } from 'vitest';
import { deploy, TestRunner } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const cached = { cacheOptions: { enable: true } };

/** What a run of `stack` is granted, from the claim. The run ends at once. */
async function grantOf(stack: string, request: object = cached) {
  await deploy(server, stack, request);
  const run = await runner.mustClaim();
  await run.finish();
  return run.claim.run.cache;
}

async function mustGrant(stack: string, request: object = cached) {
  const grant = await grantOf(stack, request);
  if (!grant) throw new Error('no cache was granted');
  return grant;
}

test('a cache is granted where the settings ask for it, and the job says so', async () => {
  const stack = await server.makeStack('wish');
  expect(await grantOf(stack, {})).toBeNull();
  await server.call('PUT', `${stack}/deployments/settings`, cached);
  await deploy(server, stack);
  const run = await runner.mustClaim();
  expect(run.claim.run.cache).toMatchObject({ writeScope: 'main', readScopes: ['main'] });
  expect((await run.job()).options.cacheDependencies).toBe(true);
  await run.finish();
  expect(await grantOf(stack, { cacheOptions: { enable: false } })).toBeNull();
});

test('stacks of a project share a namespace; another project has another', async () => {
  const [dev, prod, other] = await Promise.all([
    server.makeStack('dev'),
    server.makeStack('prod'),
    server.makeStack('dev', 'bakery'),
  ]);
  const { namespace } = await mustGrant(dev);
  expect((await mustGrant(prod)).namespace).toBe(namespace);
  expect((await mustGrant(other)).namespace).not.toBe(namespace);
});

test('another pool has another namespace', async () => {
  const stack = await server.makeStack('pools');
  const { namespace } = await mustGrant(stack);
  const { body } = await server.call('POST', '/api/orgs/acme/agent-pools', {
    name: 'other',
    description: '',
  });
  const { id, tokenValue } = body as { id: string; tokenValue: string };
  const others = await TestRunner.register(server, tokenValue);
  await deploy(server, stack, { ...cached, agentPoolID: id });
  const run = await others.mustClaim();
  await run.finish();
  expect(run.claim.run.cache?.namespace).not.toBe(namespace);
});

test('previews and pull requests, of either place in the settings, get scopes of their own', async () => {
  const stack = await server.makeStack('trust');
  const ofPreview = await mustGrant(stack, { ...cached, operation: 'preview' });
  expect(ofPreview.readScopes).toEqual([ofPreview.writeScope, 'main']);
  const gitHub = await mustGrant(stack, { ...cached, gitHub: { deployPullRequest: 7 } });
  expect(gitHub.writeScope).toContain('pull request 7');
  const vcs = await mustGrant(stack, { ...cached, vcs: { provider: 'gitlab', deployPullRequest: 7 } });
  expect(vcs).toEqual(gitHub);
  expect((await mustGrant(stack)).writeScope).toBe('main');
});

test('a stack can be kept from writing what the others read, by itself or by its pool', async () => {
  const stack = await server.makeStack('apart');
  const path = `/api/slipway${stack.slice('/api'.length)}/sandbox`;
  expect((await server.call('PUT', path, { cacheScope: 'stack' })).status).toBe(200);
  const { writeScope, readScopes } = await mustGrant(stack);
  expect(writeScope).toMatch(/^stack /);
  expect(readScopes).toEqual([writeScope, 'main']);
  expect((await server.call('PUT', path, { cacheScope: 'world' })).status).toBe(400);
});

test('clearing the cache of a project gives all of its stacks an empty one, and no other project', async () => {
  const [dev, prod, other] = await Promise.all([
    server.makeStack('dev', 'cleared'),
    server.makeStack('prod', 'cleared'),
    server.makeStack('dev', 'untouched'),
  ]);
  const before = [await mustGrant(dev), await mustGrant(prod), await mustGrant(other)];
  expect((await server.call('DELETE', `${dev}/deployments/cache`)).status).toBe(200);
  const after = [await mustGrant(dev), await mustGrant(prod), await mustGrant(other)];
  expect(after[0]?.namespace).not.toBe(before[0]?.namespace);
  expect(after[1]).toEqual(after[0]);
  expect(after[2]).toEqual(before[2]);
  await server.call('DELETE', `${dev}/deployments/cache`);
  expect((await mustGrant(dev)).namespace).not.toBe(after[0]?.namespace);
});

test('nobody clears the cache of a project that is not theirs', async () => {
  const stack = await server.makeStack('guarded');
  await deploy(server, stack, cached);
  const run = await runner.mustClaim();
  const authorization = `token ${(await run.job()).jobToken}`;
  const path = `${stack}/deployments/cache`;
  expect((await server.call('DELETE', path, undefined, { authorization })).status).toBe(401);
  await run.finish();
  expect((await server.call('DELETE', '/api/stacks/acme/shop/none/deployments/cache')).status).toBe(404);
});
