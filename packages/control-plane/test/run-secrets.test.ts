import { randomBytes } from 'node:crypto';
import { startServer } from '@slipway/control-plane';
import { runnerContractPath } from '@slipway/core';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, organization, type TestRun } from './deployments-server.ts';
import { TestUpdate } from './test-update.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const base64 = (text: string) => Buffer.from(text).toString('base64');
const ciphertexts = z.object({ ciphertexts: z.array(z.string()) });
const page = z.object({ lines: z.array(z.object({ line: z.string().optional() })) });

/** A run, and what its `pulumi` CLI calls with the job token. */
class RunUnderTest {
  readonly stack: string;
  readonly deployment: string;
  readonly run: TestRun;
  readonly jobToken: string;

  private constructor(stack: string, deployment: string, run: TestRun, jobToken: string) {
    this.stack = stack;
    this.deployment = deployment;
    this.run = run;
    this.jobToken = jobToken;
  }

  static async start(name: string): Promise<RunUnderTest> {
    const stack = await server.makeStack(name);
    const { id } = await deploy(server, stack);
    const run = await runner.mustClaim();
    return new RunUnderTest(stack, `${stack}/deployments/${id}`, run, (await run.job()).jobToken);
  }

  call(name: string, body: object) {
    return server.call('POST', `${this.stack}/${name}`, body, { authorization: `token ${this.jobToken}` });
  }

  /** Secrets that were in the stack before, as a user of it has encrypted them. */
  async encrypted(...texts: readonly string[]): Promise<string[]> {
    const body = { plaintexts: texts.map(base64) };
    return (await server.expectCall(ciphertexts, 200, 'POST', `${this.stack}/batch-encrypt`, body))
      .ciphertexts;
  }

  async logged(): Promise<string> {
    const { lines } = await server.expectCall(page, 200, 'GET', `${this.deployment}/logs`);
    return lines.map(({ line }) => line ?? '').join('');
  }

  async kept(): Promise<{ sealed: Buffer }[]> {
    const { rows } = await sql<{ sealed: Buffer }>`
      SELECT sealed FROM run_secrets WHERE run_id = ${this.run.id} ORDER BY number`.execute(
      server.server.controlPlane.db,
    );
    return rows;
  }
}

const secret = 'correct horse "battery" staple';
/** As a program may print it that does not want it to be recognised. */
const printed = () => `${secret} ${base64(`x${secret}yz`).slice(2, -3)} ${JSON.stringify({ secret })}`;
const hidden = '*** *** {"secret":"***"}';

describe.each([
  ['decrypts', 'decrypt', async (run: RunUnderTest) => ({ ciphertext: (await run.encrypted(secret))[0] })],
  [
    'decrypts with others',
    'batch-decrypt',
    async (run: RunUnderTest) => ({ ciphertexts: await run.encrypted('other', JSON.stringify(secret)) }),
  ],
  ['encrypts', 'encrypt', async () => ({ plaintext: base64(JSON.stringify({ key: [secret] })) })],
  ['encrypts with others', 'batch-encrypt', async () => ({ plaintexts: [base64(secret), base64('other')] })],
] as const)('what a run %s', (what, call, bodyOf) => {
  let run: RunUnderTest;
  beforeEach(async () => {
    run = await RunUnderTest.start(`${call}-${crypto.randomUUID()}`);
  });

  test('is hidden in its log from then on', async () => {
    const body = await bodyOf(run);
    await run.run.log(0, secret);
    expect(await run.call(call, body)).toMatchObject({ status: 200 });
    await run.run.log(0, printed());
    expect(await run.logged(), what).toBe(`${secret}\n${hidden}\n`);
    await run.run.finish();
  });

  test('is hidden in its events from then on', async () => {
    expect(await run.call(call, await bodyOf(run))).toMatchObject({ status: 200 });
    const update = await TestUpdate.start(server, run.stack, 'update', run.jobToken);
    const event = (message: string) => ({ sequence: 0, timestamp: 1, stdoutEvent: { message } });
    await update.call('POST', 'events/batch', { events: [event(printed())] });
    expect((await update.page()).events).toEqual([event(hidden)]);
    await run.run.finish();
  });
});

test('a secret number is hidden where a resource has it', async () => {
  const run = await RunUnderTest.start('number');
  await run.call('encrypt', { plaintext: base64('87654321') });
  const update = await TestUpdate.start(server, run.stack, 'update', run.jobToken);
  const event = (pin: unknown) => ({
    ...{ sequence: 0, timestamp: 87654321 },
    resourcePreEvent: { metadata: { new: { inputs: { pin } } } },
  });
  await update.call('POST', 'events/batch', { events: [event(87654321)] });
  expect((await update.page()).events).toEqual([event('***')]);
  await run.run.finish();
});

test("the secrets of one run do not blank out another run's log", async () => {
  const run = await RunUnderTest.start('knows');
  const other = await RunUnderTest.start('knows-nothing');
  await run.call('encrypt', { plaintext: base64(secret) });
  await other.run.log(0, secret);
  expect(await other.logged()).toBe(`${secret}\n`);
  await run.run.finish();
  await other.run.finish();
});

test('what a run has decrypted is kept sealed, survives the control plane, and ends with the run', async () => {
  const run = await RunUnderTest.start('kept');
  await run.call('encrypt', { plaintext: base64(secret) });
  await run.call('encrypt', { plaintext: base64(secret) });
  const kept = await run.kept();
  // The job's own, and the one that was encrypted, once.
  expect(kept).toHaveLength(2);
  for (const { sealed } of kept) expect(sealed.includes('correct')).toBe(false);

  // Another control plane on the same database knows what this one does.
  const { controlPlane } = server.server;
  const again = await startServer({
    ...{ dataDirectory: server.dataDirectory, host: '127.0.0.1', port: 0, organization },
    masterKey: controlPlane.masterKey.toString('base64'),
    databaseUrl: server.databaseUrl,
  });
  const lines = [
    { sequence: 1, step: 0, kind: 'line', timestamp: new Date().toISOString(), text: printed() },
  ];
  const response = await fetch(`${again.url}${runnerContractPath}/log`, {
    method: 'POST',
    headers: { authorization: `lease ${run.run.claim.leaseToken}` },
    body: JSON.stringify({ lines }),
  });
  expect(response.status).toBe(200);
  await again.close();
  expect(await run.logged()).toBe(`${hidden}\n`);

  const update = await TestUpdate.start(server, run.stack, 'update', run.jobToken);
  await update.complete();
  expect(await update.events(0)).toBe(204);
  await run.run.finish();
  expect(await run.kept()).toEqual([]);
  // Nothing could be hidden in these any more.
  expect(await update.events(1)).toBe(403);
});

test('of more secrets than are kept the first are hidden, and the log says that the others are not', async () => {
  const run = await RunUnderTest.start('very-many');
  const texts = Array.from({ length: 10_100 }, (_, n) => `secret-number-${n}!`);
  const half = texts.length / 2;
  for (const some of [texts.slice(0, half), texts.slice(half), texts, texts.slice(-1)])
    await run.call('batch-encrypt', { plaintexts: some.map(base64) });
  expect(await run.kept(), 'what does not fit takes no place').toHaveLength(3);
  await run.run.log(0, `${texts[0]} ${texts[9_990]} ${texts[10_050]}`);
  await run.run.finish();
  expect(await run.logged()).toMatch(/^\*\*\* \*\*\* secret-number-10050!\nThe run used more secrets /);
});

test('of longer secrets fewer are kept', async () => {
  const run = await RunUnderTest.start('very-long');
  const long = randomBytes(500_000).toString('hex');
  await run.call('batch-encrypt', { plaintexts: [base64(secret), base64(long)] });
  await run.run.log(0, `${secret} ${long.slice(0, 2000)}`);
  await run.run.finish();
  expect(await run.logged()).toMatch(/^\*\*\* [0-9a-f]{2000}\nThe run used more secrets /);
});
