import {
  type ImagesRequest,
  imageCredentialsResponse,
  imagesResponse,
  runnerContractPath,
} from '@slipway/core';
import { sql } from 'kysely';
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
    expect(told?.images).toContainEqual({
      id: expect.any(String),
      reference: 'registry.test/prepared:1',
      credentials: opened,
    });
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
      { id: expect.any(String), reference: 'registry.test/special:1', credentials: opened },
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
    expect(twins).toEqual([{ id: expect.any(String), reference: 'registry.test/twin:1', credentials: null }]);
  });
});

describe('why an image could not be made ready', () => {
  const failedAt = '2026-01-02T03:04:05.000Z';
  const stackImage = (stack: string) =>
    server.call('GET', `${stack.replace('/api/', '/api/slipway/')}/executor-image`).then(({ body }) => body);
  /** A stack whose settings name an image, and the id by which runners know it. */
  const stackWith = async (name: string, reference: string, login: object = credentials) => {
    const stack = await server.makeStack(name);
    const before = new Set((await wanted())?.images.map(({ id }) => id));
    await server.call('PUT', `${stack}/deployments/settings`, image(reference, login));
    const { id = '' } = (await wanted())?.images.find((each) => !before.has(each.id)) ?? {};
    return { stack, id };
  };
  const failure = (imageId: string, problem: string) => ({ imageId, problem, failedAt });

  test('is told to who reads the image of the stack, in harmless words, until the runner no longer says it', async () => {
    const { stack, id } = await stackWith('failing', 'registry.test/failing:1');
    expect(await stackImage(stack)).toEqual({ reference: 'registry.test/failing:1', failures: [] });
    const problem = '\u001b[31mno such\r\nimage, said the-registry-password';
    await wanted({ failures: [failure(id, problem), failure('unheard-of', 'x')] });
    const told = [{ hostname: 'runner-host', problem: '␛[31mno such image, said ***', failedAt }];
    expect(await stackImage(stack)).toEqual({ reference: 'registry.test/failing:1', failures: told });
    await wanted();
    expect(await stackImage(stack)).toMatchObject({ failures: [] });
  });

  test('is not told of a runner that is gone', async () => {
    const { stack, id } = await stackWith('gone', 'registry.test/gone:1');
    await wanted({ failures: [failure(id, 'refused')] });
    expect(await stackImage(stack)).toMatchObject({ failures: [{ problem: 'refused' }] });
    await sql`UPDATE runners SET last_seen_at = now() - interval '10 minutes'`.execute(
      server.server.controlPlane.db,
    );
    expect(await stackImage(stack)).toMatchObject({ failures: [] });
  });

  test('is told of the login that failed alone', async () => {
    const reference = 'registry.test/shared:1';
    const one = await stackWith('shared-a', reference, {
      username: 'robot',
      password: { secret: 'wrong-one' },
    });
    const other = await stackWith('shared-b', reference);
    expect(one.id).not.toBe(other.id);
    await wanted({ failures: [failure(one.id, 'refused')] });
    expect(await stackImage(one.stack)).toMatchObject({ failures: [{ problem: 'refused' }] });
    expect(await stackImage(other.stack)).toMatchObject({ failures: [] });
    // Another login is another image: nothing is known of it.
    await server.call('PUT', `${one.stack}/deployments/settings`, image(reference));
    expect(await stackImage(one.stack)).toMatchObject({ failures: [] });
  });

  test('is heard of the runners of the own pool alone', async () => {
    const { stack, id } = await stackWith('foreign', 'registry.test/foreign:1');
    const pool = await server.call('POST', '/api/orgs/acme/agent-pools', { name: 'foreign' });
    const { tokenValue } = pool.body as { tokenValue: string };
    const foreign = await TestRunner.register(server, tokenValue);
    const body = {
      runnerId: foreign.runnerId,
      knownRevision: null,
      waitSeconds: 0,
      failures: [failure(id, 'x')],
    };
    const authorization = `token ${tokenValue}`;
    const answer = await server.call('POST', `${runnerContractPath}/images`, body, { authorization });
    expect(answer).toMatchObject({ status: 200, body: { images: [] } });
    expect(await stackImage(stack)).toMatchObject({ failures: [] });
  });

  test('is nothing where the settings name no image, and not for strangers', async () => {
    const stack = await server.makeStack('without-image');
    expect(await stackImage(stack)).toEqual({ reference: null, failures: [] });
    const path = `${stack.replace('/api/', '/api/slipway/')}/executor-image`;
    expect(await server.call('GET', path, undefined, { authorization: 'token nobody' })).toMatchObject({
      status: 401,
    });
  });

  test.each([
    ['more failures than anybody reads', Array.from({ length: 101 }, (_, index) => failure(`${index}`, 'x'))],
    ['a novel', [failure('a', 'x'.repeat(2001))]],
  ])('is refused when it is %s', async (_name, failures) => {
    const body = { runnerId: runner.runnerId, knownRevision: null, waitSeconds: 0, failures };
    const authorization = `token ${server.server.poolToken}`;
    const answer = await server.call('POST', `${runnerContractPath}/images`, body, { authorization });
    expect(answer).toMatchObject({ status: 400 });
  });
});
