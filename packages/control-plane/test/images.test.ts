import {
  type ImagesRequest,
  imageCredentialsResponse,
  imagesResponse,
  runnerContractPath,
} from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deploy, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

let server: TestServer;
let runner: TestRunner;
beforeAll(async () => {
  server = await startTestServer();
  runner = await TestRunner.register(server);
});
afterAll(() => server.stop());

const credentials = { username: 'robot', password: { secret: 'the-registry-password' } };
const opened = { username: 'robot', password: 'the-registry-password' };
const image = (reference: string, login: object = credentials) => ({
  executorContext: { executorImage: { reference, credentials: login } },
});

/** What the pool's runners are told to make ready. */
async function wanted(request: Partial<ImagesRequest> = {}) {
  const body = { runnerId: runner.runnerId, knownRevision: null, waitSeconds: 0, ...request };
  const authorization = `token ${server.server.poolToken}`;
  const answer = await server.call('POST', `${runnerContractPath}/images`, body, { authorization });
  if (answer.status === 204) return undefined;
  if (answer.status !== 200)
    throw new Error(`images answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return imagesResponse.parse(answer.body);
}

describe('the login of an executor image', () => {
  test('reaches the runner that claimed the run, by its lease token, and nobody else', async () => {
    const stack = await server.makeStack('login');
    const settings = await server.call('PUT', `${stack}/deployments/settings`, image('registry.test/app:1'));
    expect(JSON.stringify(settings.body)).not.toContain('the-registry-password');
    await deploy(server, stack);
    const run = await runner.mustClaim();
    expect(JSON.stringify(run.claim)).not.toContain('the-registry-password');
    for (let time = 0; time < 2; time += 1) {
      const { body } = await run.call('image-credentials');
      expect(imageCredentialsResponse.parse(body)).toEqual({ credentials: opened });
    }
    // It is of no use in the sandbox, so it is not sent there, but hidden should it turn up.
    const { secrets, ...job } = await run.job();
    expect(JSON.stringify(job)).not.toContain('the-registry-password');
    expect(secrets).toContain('the-registry-password');
    await run.finish();
    expect(await run.call('image-credentials')).toMatchObject({ status: 409 });
    const authorization = `token ${server.server.poolToken}`;
    expect(
      await server.call('POST', `${runnerContractPath}/image-credentials`, {}, { authorization }),
    ).toMatchObject({ status: 401 });
  });

  test('is null where the settings name none, and where the image is the default one', async () => {
    const stack = await server.makeStack('no-login');
    await server.call('PUT', `${stack}/deployments/settings`, {
      executorContext: { executorImage: 'registry.test/public:1' },
    });
    await deploy(server, stack);
    const run = await runner.mustClaim();
    expect((await run.call('image-credentials')).body).toEqual({ credentials: null });
    await run.finish();
  });

  test('does not follow a request to the registry of somebody else', async () => {
    const stack = await server.makeStack('redirected');
    await server.call('PUT', `${stack}/deployments/settings`, image('registry.test/app:1'));
    const loginAt = async (executorImage: object) => {
      await deploy(server, stack, { executorContext: { executorImage } });
      const run = await runner.mustClaim();
      const answer = imageCredentialsResponse.parse((await run.call('image-credentials')).body);
      await run.finish();
      return answer.credentials;
    };
    expect(await loginAt({ reference: 'elsewhere.test/app:1' })).toBeNull();
    expect(await loginAt({ reference: 'registry.test:5000/app:1' })).toBeNull();
    expect(await loginAt({ reference: 'registry.test/app:2' })).toEqual(opened);
    const own = { username: 'mine', password: 'my-own-password' };
    expect(await loginAt({ reference: 'elsewhere.test/app:1', credentials: own })).toEqual(own);
  });
});

describe('images that the settings of a pool name', () => {
  test('are told to its runners as soon as they are saved, with their login', async () => {
    const stack = await server.makeStack('prepared');
    const before = await wanted();
    const waiting = wanted({ knownRevision: before?.revision ?? null, waitSeconds: 30 });
    const startedAt = performance.now();
    await server.call('PUT', `${stack}/deployments/settings`, image('registry.test/prepared:1'));
    const told = await waiting;
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    expect(told?.images).toContainEqual({ reference: 'registry.test/prepared:1', credentials: opened });
    expect(told?.revision).not.toBe(before?.revision);
    expect(await wanted({ knownRevision: told?.revision ?? null })).toBeUndefined();
    await server.call('DELETE', `${stack}/deployments/settings`);
    expect((await wanted())?.images.map(({ reference }) => reference)).not.toContain(
      'registry.test/prepared:1',
    );
  });

  test('are those of its own stacks alone', async () => {
    const pool = await server.call('POST', '/api/orgs/acme/agent-pools', { name: 'special' });
    const { id, tokenValue } = pool.body as { id: string; tokenValue: string };
    const special = await TestRunner.register(server, tokenValue);
    const stack = await server.makeStack('of-special');
    const settings = { agentPoolID: id, ...image('registry.test/special:1') };
    await server.call('PUT', `${stack}/deployments/settings`, settings);
    expect((await wanted())?.images.map(({ reference }) => reference)).not.toContain(
      'registry.test/special:1',
    );
    const body = { runnerId: special.runnerId, knownRevision: null, waitSeconds: 0 };
    const authorization = `token ${tokenValue}`;
    const answer = await server.call('POST', `${runnerContractPath}/images`, body, { authorization });
    expect(imagesResponse.parse(answer.body).images).toEqual([
      { reference: 'registry.test/special:1', credentials: opened },
    ]);
    expect(
      await server.call(
        'POST',
        `${runnerContractPath}/images`,
        { ...body, runnerId: runner.runnerId },
        { authorization },
      ),
    ).toMatchObject({ status: 404 });
  });

  test('of two stacks are told once, and an image that needs no login comes without one', async () => {
    for (const name of ['twin-a', 'twin-b']) {
      const stack = await server.makeStack(name);
      await server.call('PUT', `${stack}/deployments/settings`, {
        executorContext: { executorImage: 'registry.test/twin:1' },
      });
    }
    const twins = (await wanted())?.images.filter(({ reference }) => reference === 'registry.test/twin:1');
    expect(twins).toEqual([{ reference: 'registry.test/twin:1', credentials: null }]);
  });
});
