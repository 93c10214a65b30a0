import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, startTestServer, TestRunner, type TestServer } from './deployments-server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());

const created = z.object({ updateID: z.string() });
const started = z.object({ version: z.number(), token: z.string().min(1), tokenExpiration: z.number() });
const eventPage = z.object({
  events: z.array(z.looseObject({ sequence: z.number() })),
  continuationToken: z.string().nullable(),
});

/** An update as its CLI drives it. */
class TestUpdate {
  readonly path: string;
  readonly version: number;
  readonly #authorization: string;

  private constructor(path: string, version: number, token: string) {
    this.path = path;
    this.version = version;
    this.#authorization = `update-token ${token}`;
  }

  static async create(stack: string, kind = 'update', token = server.server.adminToken): Promise<string> {
    const options = { authorization: `token ${token}` };
    const { updateID } = await server.expectCall(created, 200, 'POST', `${stack}/${kind}`, {}, options);
    return `${stack}/update/${updateID}`;
  }

  static async start(stack: string, kind = 'update', token = server.server.adminToken): Promise<TestUpdate> {
    const path = await TestUpdate.create(stack, kind, token);
    const options = { authorization: `token ${token}` };
    const answer = await server.expectCall(started, 200, 'POST', path, {}, options);
    return new TestUpdate(path, answer.version, answer.token);
  }

  async call(method: string, name: string, body: object | string): Promise<number> {
    const authorization = this.#authorization;
    return (await server.call(method, `${this.path}/${name}`, body, { authorization })).status;
  }

  checkpoint(mark: string): Promise<number> {
    return this.call('PATCH', 'checkpoint', { version: 3, deployment: { resources: [], mark } });
  }

  complete(status = 'succeeded'): Promise<number> {
    return this.call('POST', 'complete', { status });
  }

  events(...sequences: readonly number[]): Promise<number> {
    const events = sequences.map((sequence) => ({ sequence, timestamp: 1, stdoutEvent: { message: 'x' } }));
    return this.call('POST', 'events/batch', { events });
  }

  async page(continuationToken = '0') {
    const path = `${this.path}/events?continuationToken=${continuationToken}`;
    const page = await server.expectCall(eventPage, 200, 'GET', path);
    return { ...page, sequences: page.events.map(({ sequence }) => sequence) };
  }

  /** As if its CLI had been silent for too long. */
  async loseLease(): Promise<void> {
    const id = this.path.split('/').at(-1);
    await sql`UPDATE updates SET lease_ends_at = now() - interval '1 second' WHERE id = ${id}`.execute(
      server.server.controlPlane.db,
    );
  }
}

async function markOf(stack: string): Promise<string | undefined> {
  const state = z.object({ deployment: z.looseObject({ mark: z.string().optional() }) });
  return (await server.expectCall(state, 200, 'GET', `${stack}/export`)).deployment.mark;
}

const history = z.object({ updates: z.array(z.object({ kind: z.string(), result: z.string() })) });
const resultsOf = async (stack: string) =>
  (await server.expectCall(history, 200, 'GET', `${stack}/updates`)).updates.map(({ result }) => result);

test('one update at a time: the second is refused until the first is complete; previews take no lock', async () => {
  const stack = await server.makeStack('lock');
  const first = await TestUpdate.start(stack);
  const waiting = await TestUpdate.create(stack, 'destroy');
  expect(await server.call('POST', waiting, {})).toEqual({
    status: 409,
    body: { code: 409, message: 'Conflict: Another update is currently in progress.' },
  });
  const preview = await TestUpdate.start(stack, 'preview');
  expect(preview.version).toBe(first.version);
  expect(await preview.checkpoint('preview')).toBe(403);
  expect(await server.call('DELETE', `${stack}?force=true`)).toMatchObject({ status: 409 });
  expect(await first.complete()).toBe(200);
  expect((await server.call('POST', waiting, {})).status).toBe(200);
});

test('of ten updates started at once, one gets the stack', async () => {
  const stack = await server.makeStack('rush');
  const paths = await Promise.all(Array.from({ length: 10 }, () => TestUpdate.create(stack)));
  const statuses = await Promise.all(paths.map(async (path) => (await server.call('POST', path, {})).status));
  expect(statuses.sort()).toEqual([200, ...Array(9).fill(409)]);
});

test('the last checkpoint is the state, also of an update that fails; repeated calls are harmless', async () => {
  const stack = await server.makeStack('checkpoints');
  const update = await TestUpdate.start(stack);
  for (const mark of ['one', 'two', 'two']) expect(await update.checkpoint(mark)).toBe(204);
  expect(await update.complete('failed')).toBe(200);
  expect(await update.complete('failed')).toBe(200);
  expect(await update.complete('succeeded')).toBe(200);
  expect(await markOf(stack)).toBe('two');
  expect(await resultsOf(stack)).toEqual(['failed']);
});

test.each([
  ['completed', (update: TestUpdate) => update.complete()],
  ['cancelled', (update: TestUpdate) => server.call('POST', `${update.path}/cancel`)],
  ['silent for too long', (update: TestUpdate) => update.loseLease()],
])('an update that was %s writes no more, and the stack is free', async (how, end) => {
  const stack = await server.makeStack(how.replaceAll(' ', '-'));
  const update = await TestUpdate.start(stack);
  await update.checkpoint('before');
  await end(update);
  expect(await update.checkpoint('after')).toBe(403);
  expect(await update.call('POST', 'renew_lease', { token: '', duration: 300 })).toBe(403);
  const next = await TestUpdate.start(stack);
  expect(next.version).toBe(update.version + 1);
  expect(await markOf(stack)).toBe('before');
  expect(await resultsOf(stack)).toEqual(['in-progress', how === 'completed' ? 'succeeded' : 'failed']);
});

test('a lease that is renewed in time goes on; another token opens nothing', async () => {
  const stack = await server.makeStack('renewed');
  const update = await TestUpdate.start(stack);
  expect(await update.call('POST', 'renew_lease', { token: '', duration: 300 })).toBe(200);
  expect(await update.checkpoint('still')).toBe(204);
  const authorization = 'update-token slp-update-wrong';
  for (const name of ['checkpoint', 'journalentries']) {
    const body = { deployment: {}, entries: [] };
    const answer = await server.call('PATCH', `${update.path}/${name}`, body, { authorization });
    expect(answer.status).toBe(403);
  }
});

test('a journal is the state while the update runs and after it, however it ends', async () => {
  const stack = await server.makeStack('journal');
  const path = await TestUpdate.create(stack);
  const offered = z.object({ token: z.string(), journalVersion: z.literal(1) });
  const { token } = await server.expectCall(offered, 200, 'POST', path, { journalVersion: 1 });
  const authorization = `update-token ${token}`;
  const write = async (...entries: readonly object[]) => {
    const body = {
      entries: entries.map((entry) => ({ version: 1, removeOld: null, removeNew: null, ...entry })),
    };
    return (await server.call('PATCH', `${path}/journalentries`, body, { authorization })).status;
  };
  const resource = (name: string) => ({
    urn: `urn:pulumi:journal::shop::a:b:C::${name}`,
    type: 'a:b:C',
    custom: true,
  });
  const begin = (sequenceID: number, name: string) => ({
    ...{ kind: 0, sequenceID, operationID: sequenceID },
    operation: { resource: resource(name), type: 'creating' },
  });
  const success = (sequenceID: number, operationID: number, name: string) => ({
    ...{ kind: 1, sequenceID, operationID, state: resource(name) },
  });
  const provider = { type: 'service', state: { url: `http://127.0.0.1:${new URL(server.server.url).port}` } };
  const state = z.object({
    deployment: z.object({
      resources: z.array(z.object({ urn: z.string() })).default([]),
      pending_operations: z.array(z.object({ resource: z.object({ urn: z.string() }) })).default([]),
      secrets_providers: z.object({ state: z.object({ url: z.string() }) }),
    }),
  });
  const exported = async () => {
    const { deployment } = await server.expectCall(state, 200, 'GET', `${stack}/export`);
    const names = (urns: readonly { urn: string }[]) => urns.map(({ urn }) => urn.split('::').at(-1));
    return {
      resources: names(deployment.resources),
      pending: names(deployment.pending_operations.map((operation) => operation.resource)),
      url: deployment.secrets_providers.state.url,
    };
  };
  // Whatever the order in which batches come, and however often.
  expect(await write(success(3, 2, 'one'), begin(4, 'two'))).toBe(204);
  expect(
    await write({ kind: 6, sequenceID: 1, operationID: 0, secretsProvider: provider }, begin(2, 'one')),
  ).toBe(204);
  expect(await write(success(3, 2, 'one'), begin(4, 'two'))).toBe(204);
  const reached = { resources: ['one'], pending: ['two'], url: server.server.url };
  expect(await exported()).toEqual(reached);
  expect(await write({ kind: 10, sequenceID: 5, operationID: 5 })).toBe(400);

  await sql`UPDATE updates SET lease_ends_at = now() WHERE id = ${path.split('/').at(-1)}`.execute(
    server.server.controlPlane.db,
  );
  expect(await write(success(5, 4, 'two'))).toBe(403);
  const next = await TestUpdate.start(stack);
  expect(await exported()).toEqual(reached);
  await next.complete();
  expect(await exported()).toEqual(reached);
  expect(await resultsOf(stack)).toEqual(['succeeded', 'failed']);
});

test('a preview gets no journal', async () => {
  const stack = await server.makeStack('no-journal');
  const path = await TestUpdate.create(stack, 'preview');
  const answer = await server.call('POST', path, { journalVersion: 1 });
  expect(answer).toMatchObject({ status: 200 });
  expect(answer.body).not.toHaveProperty('journalVersion');
});

test('events are read in order, each once, to the last, in whatever order they arrive', async () => {
  const stack = await server.makeStack('events');
  const update = await TestUpdate.start(stack);
  expect((await update.page()).continuationToken).toBe('0');
  await update.events(3, 2);
  expect(await update.page()).toMatchObject({ sequences: [], continuationToken: '0' });
  await update.events(0, 1);
  await update.events(1, 2, 3);
  const page = await update.page();
  expect(page).toMatchObject({ sequences: [0, 1, 2, 3], continuationToken: '4' });
  // 4 never arrives: what follows it is read once the update is over.
  await update.events(5, 6);
  expect(await update.page('4')).toMatchObject({ sequences: [], continuationToken: '4' });
  await update.complete();
  expect(await update.page('4')).toMatchObject({ sequences: [5, 6], continuationToken: null });
});

test('more events than a page holds are all read', async () => {
  const stack = await server.makeStack('many-events');
  const update = await TestUpdate.start(stack);
  await update.events(...Array.from({ length: 1000 }, (_, n) => n));
  await update.events(...Array.from({ length: 201 }, (_, n) => 1000 + n));
  await update.complete();
  const read: number[] = [];
  for (let token: string | null = '0'; token !== null; ) {
    const page = await update.page(token);
    read.push(...page.sequences);
    token = page.continuationToken;
  }
  expect(read).toEqual(Array.from({ length: 1201 }, (_, n) => n));
});

test('an update that ends without a word gets a last event that says that it failed', async () => {
  const stack = await server.makeStack('silent');
  const update = await TestUpdate.start(stack);
  await update.events(0, 1);
  await update.loseLease();
  const page = await update.page();
  expect(page.continuationToken).toBeNull();
  expect(page.events[2]).toMatchObject({ sequence: 2, summaryEvent: { result: 'failed', isPreview: false } });
});

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
  const update = await TestUpdate.start(stack, 'update', jobToken);
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
  const update = await TestUpdate.start(stack, 'update', jobToken);
  await update.checkpoint('mark');
  await run.finish({ outcome: 'failed', cause: 'out-of-memory' });
  expect(await update.checkpoint('late')).toBe(403);
  expect(await resultsOf(stack)).toEqual(['failed']);
  expect((await update.page()).events.at(-1)).toMatchObject({ summaryEvent: { result: 'failed' } });
  await TestUpdate.start(stack);
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

test('every ciphertext is answered under the text that was sent; one of another stack is refused', async () => {
  const stack = await server.makeStack('ciphertexts');
  const other = await server.makeStack('other-ciphertexts');
  const plaintexts = ['one', '', '\u0000☃'].map((text) => Buffer.from(text).toString('base64'));
  const sealed = z.object({ ciphertexts: z.array(z.string()) });
  const { ciphertexts } = await server.expectCall(sealed, 200, 'POST', `${stack}/batch-encrypt`, {
    plaintexts,
  });
  const { body } = await server.call('POST', `${stack}/batch-decrypt`, { ciphertexts });
  expect(body).toEqual({
    plaintexts: Object.fromEntries(ciphertexts.map((ciphertext, n) => [ciphertext, plaintexts[n]])),
  });
  expect(await server.call('POST', `${other}/batch-decrypt`, { ciphertexts })).toEqual({
    status: 400,
    body: {
      code: 400,
      message: 'Bad Request: Message authentication failed: this ciphertext was not made for this stack.',
    },
  });
});

test('text that the database cannot store is refused, wherever it stands', async () => {
  const stack = await server.makeStack('nul');
  expect(await server.call('PATCH', `${stack}/tags`, { tag: 'a\u0000' })).toMatchObject({ status: 400 });
  const metadata = { message: 'a\u0000', environment: {} };
  expect(await server.call('POST', `${stack}/update`, { metadata })).toMatchObject({ status: 400 });
  expect(await server.call('GET', '/api/user/stacks?project=%00')).toMatchObject({ status: 400 });
});

test('names that the CLI does not allow, and stacks that do not exist, are told apart', async () => {
  const project = '/api/stacks/acme/shop';
  for (const stackName of ['', 'a b', 'a/b', 'ä', 'x'.repeat(101)]) {
    expect(await server.call('POST', project, { stackName })).toMatchObject({ status: 400 });
  }
  expect(await server.call('GET', `${project}/nowhere`)).toEqual({
    status: 404,
    body: { code: 404, message: "Not Found: Stack 'acme/shop/nowhere'" },
  });
  expect(await server.call('POST', '/api/stacks/strangers/shop', { stackName: 'dev' })).toMatchObject({
    status: 404,
  });
  const update = `${await server.makeStack('known')}/update/${crypto.randomUUID()}`;
  expect(await server.call('POST', update, {})).toMatchObject({ status: 404 });
  expect(await server.call('POST', `${update.slice(0, -36)}no-update`, {})).toMatchObject({ status: 400 });
});
