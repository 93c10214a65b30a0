import { randomBytes } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import {
  type ImagesRequest,
  imageCredentialsResponse,
  imagesResponse,
  maskPatterns,
  runnerContractPath,
} from '@slipway/core';
import { sql } from 'kysely';
import { describe, expect, test, vi } from 'vitest';
import { insufficientStorage } from '../src/http/errors.ts';
import { deploy, TestRunner } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

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

  test('is that its login cannot be opened, where that is so; images of other stacks are prepared all the same', async () => {
    const { stack } = await stackWith('sealed', 'registry.test/sealed:1');
    const { stack: whole } = await stackWith('whole', 'registry.test/whole:1');
    await sql`
      UPDATE deployment_settings SET settings = regexp_replace(settings, '"ciphertext":"[^"]*"', '"ciphertext":"AAAA"')
      WHERE settings LIKE '%registry.test/sealed:1%'`.execute(server.server.controlPlane.db);
    const path = `${stack.replace('/api/', '/api/slipway/')}/executor-image`;
    expect(await server.call('GET', path)).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining('The login of the executor image cannot be opened') },
    });
    expect(await stackImage(whole)).toMatchObject({ reference: 'registry.test/whole:1' });
    expect((await wanted())?.images.map(({ reference }) => reference)).toContain('registry.test/whole:1');
  });

  test('is told of the hundred runners that were there last, however many there are', async () => {
    const { stack, id } = await stackWith('crowd', 'registry.test/crowd:1');
    const { db } = server.server.controlPlane;
    const told = (imageId: string) => JSON.stringify([failure('another', 'x'), failure(imageId, 'refused')]);
    await sql`
      INSERT INTO runners (pool_id, hostname, address, process_id, platform, version, isolation, slots, image_failures)
      SELECT pool_id, 'crowd-' || number, address, process_id, platform, version, isolation, slots,
        CASE WHEN number % 2 = 0 THEN ${told(id)} ELSE ${told('a-third')} END
      FROM runners, generate_series(1, 300) number WHERE id = ${runner.runnerId}`.execute(db);
    const { failures } = (await stackImage(stack)) as { failures: { hostname: string; problem: string }[] };
    expect(failures).toHaveLength(100);
    expect(new Set(failures.map(({ problem }) => problem))).toEqual(new Set(['refused']));
    await sql`DELETE FROM runners WHERE hostname LIKE 'crowd-%'`.execute(db);
  });

  test('is not taken while the disk of the database is all but full, and what is wanted is told all the same', async () => {
    const { id } = await stackWith('no-room', 'registry.test/no-room:1');
    const { database } = server.server.controlPlane;
    const room = vi.spyOn(database, 'requireRoom').mockRejectedValue(insufficientStorage('full'));
    await expect(wanted({ failures: [failure(id, 'refused')] })).rejects.toThrow('507');
    expect((await wanted())?.images.map((each) => each.id)).toContain(id);
    room.mockRestore();
  });

  test('is taken with one look at what is wanted, whose logins have to be opened for it', async () => {
    const { id } = await stackWith('one-look', 'registry.test/one-look:1');
    const queries = vi.spyOn(server.server.controlPlane.db.getExecutor(), 'executeQuery');
    await wanted({ failures: [failure(id, 'refused')] });
    const looks = queries.mock.calls.filter(([query]) => query.sql.includes('executorImage'));
    queries.mockRestore();
    expect(looks).toHaveLength(1);
  });

  test('keeps nobody waiting while long passwords are looked for in it', async () => {
    const password = () => ({ secret: randomBytes(24_000).toString('hex') });
    const reference = 'registry.test/long:1';
    for (let index = 0; index < 40; index += 1) {
      const stack = await server.makeStack(`long-${index}`);
      const settings = image(reference, { username: 'robot', password: password() });
      await server.call('PUT', `${stack}/deployments/settings`, settings);
    }
    const long = (await wanted())?.images.filter((each) => each.reference === reference) ?? [];
    expect(long).toHaveLength(40);
    const startedAt = performance.now();
    maskPatterns([password().secret]);
    const ofOneMilliseconds = performance.now() - startedAt;
    const longest = monitorEventLoopDelay({ resolution: 1 });
    longest.enable();
    await wanted({ failures: long.map(({ id }) => failure(id, 'refused')) });
    longest.disable();
    expect(longest.max / 1e6).toBeLessThan(10 * ofOneMilliseconds);
  });

  test.each([
    ['twice about the same image', [failure('a', 'x'), failure('a', 'y')]],
    ['more failures than anybody reads', Array.from({ length: 101 }, (_, index) => failure(`${index}`, 'x'))],
    ['a novel', [failure('a', 'x'.repeat(2001))]],
  ])('is refused when it is %s', async (_name, failures) => {
    const body = { runnerId: runner.runnerId, knownRevision: null, waitSeconds: 0, failures };
    const authorization = `token ${server.server.poolToken}`;
    const answer = await server.call('POST', `${runnerContractPath}/images`, body, { authorization });
    expect(answer).toMatchObject({ status: 400 });
  });
});
