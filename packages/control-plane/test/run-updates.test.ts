import { expect, test } from 'vitest';
import { deploy, TestRunner } from './deployments-server.ts';
import { resultsOf, TestUpdate } from './test-update.ts';
import { server, useServer } from './use-server.ts';

useServer();

const canary = 'canary "quoted" <secret>';

/** A deployment whose run has got its job. */
async function runningDeployment(stackName: string) {
  const stack = await server.makeStack(stackName);
  await deploy(server, stack, {
    operationContext: { environmentVariables: { PASSWORD: { secret: canary } } },
  });
  const run = await (await TestRunner.register(server)).mustClaim();
  return { stack, run, jobToken: (await run.job()).jobToken };
}

test("events of a run's update are masked, and all else in them stays to the letter", async () => {
  const { stack, run, jobToken } = await runningDeployment('masked');
  const update = await TestUpdate.start(server, stack, 'update', jobToken);
  const event = (message: string, name: string) =>
    `{"sequence":0,"timestamp":1,"stdoutEvent":{"message":${message},${name}:12345678901234567890.0}}`;
  const quoted = JSON.stringify(canary);
  const escaped = quoted.replaceAll('<', '\\u003c');
  await update.call('POST', 'events/batch', `{"events":[${event(escaped, quoted)}]}`);
  const response = await fetch(`${server.server.url}${update.path}/events`, {
    headers: { authorization: `token ${server.server.adminToken}` },
  });
  expect(await response.text()).toBe(`{"events":[${event('"***"', '"***"')}],"continuationToken":"1"}`);
  await run.finish();
});

test('when a run ends, its update ends with it: failed, the stack free, its lease refused', async () => {
  const { stack, run, jobToken } = await runningDeployment('ended');
  const update = await TestUpdate.start(server, stack, 'update', jobToken);
  await update.checkpoint('mark');
  await run.finish({ outcome: 'failed', cause: 'out-of-memory' });
  expect(await update.checkpoint('late')).toBe(403);
  expect(await resultsOf(server, stack)).toEqual(['failed']);
  expect((await update.page()).events.at(-1)).toMatchObject({ summaryEvent: { result: 'failed' } });
  await TestUpdate.start(server, stack);
  const authorization = `token ${jobToken}`;
  expect((await server.call('GET', stack, undefined, { authorization })).status).toBe(401);
});

test('a job token opens its own stack and no other', async () => {
  const other = await server.makeStack('not-mine');
  const { stack, run, jobToken } = await runningDeployment('mine');
  const authorization = `token ${jobToken}`;
  const status = async (method: string, path: string, body?: object) =>
    (await server.call(method, path, body, { authorization })).status;
  expect(await status('GET', stack)).toBe(200);
  for (const [method, name] of [
    ['GET', ''],
    ['GET', '/export'],
    ['POST', '/update'],
    ['POST', '/import'],
    ['POST', '/decrypt'],
    ['DELETE', ''],
  ] as const) {
    const body = method === 'GET' ? undefined : { ciphertext: '', version: 3, deployment: {} };
    expect({ method, name, status: await status(method, other + name, body) }).toMatchObject({ status: 404 });
  }
  await run.finish();
});
