import { randomBytes } from 'node:crypto';
import { startServer } from '@slipway/control-plane';
import { runnerContractPath } from '@slipway/core';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import {
  deploy,
  organization,
  startTestServer,
  type TestRun,
  TestRunner,
  type TestServer,
} from './deployments-server.ts';
import { TestUpdate } from './test-update.ts';

let server: TestServer;
let runner: TestRunner;
beforeAll(async () => {
  server = await startTestServer();
  runner = await TestRunner.register(server);
});
afterAll(() => server?.stop());

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

describe('a secret across the cut of a long line is hidden, with its pieces', () => {
  const line = `${'.'.repeat(65_530)}${secret}${'.'.repeat(65_530 - secret.length)}${secret} end`;
  const pieces = line.match(/.{1,65536}/g) ?? [];
  const hiddenLine = `${line.replaceAll(secret, '***')}***`;

  test('in one call', async () => {
    const run = await RunUnderTest.start('long-line');
    await run.call('encrypt', { plaintext: base64(secret) });
    await run.run.log(0, ...pieces, secret);
    expect((await run.logged()).replaceAll('\n', '')).toBe(hiddenLine);
    await run.run.finish();
  });

  test('in a call each, as a runner sends them; what the call before has left is kept sealed until the run ends', async () => {
    const run = await RunUnderTest.start('long-line-in-calls');
    await run.call('encrypt', { plaintext: base64(secret) });
    const heldTexts = () =>
      sql<{ held: Buffer }>`
        SELECT held FROM run_log_chunks WHERE run_id = ${run.run.id} AND held IS NOT NULL`.execute(
        server.server.controlPlane.db,
      );
    for (const piece of [...pieces, secret]) {
      await run.run.log(0, piece);
      const { rows } = await heldTexts();
      // Of the line before it is known by now how it goes on.
      expect(rows).toHaveLength(piece.length === 65_536 ? 1 : 0);
      for (const { held } of rows) expect(held.includes('corr')).toBe(false);
    }
    expect((await run.logged()).replaceAll('\n', '')).toBe(hiddenLine);
    await run.run.finish();
    expect((await run.logged()).replaceAll('\n', '')).toBe(hiddenLine);
  });

  describe('and is hidden as well as its beginning, which may be more than half of it, where the line does not go on:', () => {
    const beginning = secret.slice(0, -3);
    const piece = `${'.'.repeat(65_536 - beginning.length)}${beginning}`;
    const shown = `${'.'.repeat(65_536 - beginning.length)}[…]`;
    const notice = '[The log has reached its limit of 1 MiB.]';

    async function startRun(name: string): Promise<RunUnderTest> {
      const run = await RunUnderTest.start(name);
      await run.call('encrypt', { plaintext: base64(secret) });
      return run;
    }

    test('the log has reached its limit', async () => {
      const run = await startRun('cut-at-limit');
      await run.run.log(0, piece, notice);
      expect(await run.logged()).toBe(`${shown}\n${notice}\n`);
      await run.run.finish();
    });

    test('the log has reached its limit, and the runner says so with another call', async () => {
      const run = await startRun('cut-at-limit-in-calls');
      await run.run.log(0, piece);
      await run.run.log(0, notice);
      await run.run.finish();
      expect(await run.logged()).toBe(`${shown}\n${notice}\n`);
    });

    test('the log has no room for how it goes on', async () => {
      const run = await startRun('no-room');
      await run.run.log(0, piece);
      await sql`UPDATE runs SET log_bytes = 256 * 1024 * 1024 WHERE id = ${run.run.id}`.execute(
        server.server.controlPlane.db,
      );
      await run.run.log(0, `${secret.slice(-3)} end`);
      await run.run.finish();
      expect(await run.logged()).toBe(`${shown}\n`);
    });

    test('but not where it goes on with a call that brings its piece once more', async () => {
      const run = await startRun('repeated');
      const end = `${secret.slice(-3)} end`;
      const chunk = { step: 0, kind: 'line', timestamp: new Date().toISOString() };
      const [dots, ...others] = ['.', piece, end].map((text, index) => ({
        ...chunk,
        sequence: index + 1,
        text,
      }));
      await run.run.call('log', { lines: [dots, others[0]] });
      await run.run.call('log', { lines: [dots, ...others] });
      await run.run.finish({ lastSequence: 3 });
      expect((await run.logged()).replaceAll('\n', '')).toBe(`.${piece.replace(beginning, '')}*** end`);
    });

    test('the run ends in the middle of it', async () => {
      const run = await startRun('cut-at-end');
      await run.run.log(0, ...pieces, piece);
      await run.run.finish();
      expect(await run.logged()).toMatch(/\.{100}\[…\]\n$/);
    });
  });
});
