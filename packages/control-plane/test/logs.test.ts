import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const page = z.object({
  __type: z.literal('DeploymentLogs'),
  lines: z.array(
    z.object({ header: z.string().optional(), line: z.string().optional(), timestamp: z.string() }),
  ),
  nextToken: z.string().optional(),
});
const stepPage = z.object({
  __type: z.literal('DeploymentLogsStep'),
  name: z.string(),
  lines: z.array(z.object({ line: z.string(), timestamp: z.iso.datetime() })),
  nextOffset: z.number().optional(),
});

const textsOf = ({ lines }: z.infer<typeof page>) =>
  lines.map(({ header, line }) => (header ? `# ${header}` : line));
const read = (path: string, token?: string) =>
  server.expectCall(page, 200, 'GET', `${path}/logs${token ? `?continuationToken=${token}` : ''}`);

async function startRun(
  name: string,
  operation = 'update',
): Promise<{ stack: string; path: string; run: TestRun }> {
  const stack = await server.makeStack(name);
  const { id } = await deploy(server, stack, { operation });
  return { stack, path: `${stack}/deployments/${id}`, run: await runner.mustClaim() };
}

/** An update of the run, made as the CLI inside the sandbox makes it. */
async function makeUpdate(stack: string, run: TestRun, kind: string) {
  const authorization = `token ${(await run.job()).jobToken}`;
  const created = z.object({ updateID: z.string() });
  const { updateID } = await server.expectCall(
    created,
    200,
    'POST',
    `${stack}/${kind}`,
    { config: {} },
    { authorization },
  );
  await server.expectCall(z.unknown(), 200, 'POST', `${stack}/update/${updateID}`, {}, { authorization });
  return updateID;
}

test('a log is read from token to token; nothing new answers the same token, the end answers none', async () => {
  const { path, run } = await startRun('stream');
  const none = await read(path);
  expect(none).toEqual({ __type: 'DeploymentLogs', lines: [], nextToken: '0.0.0' });
  expect((await read(path, none.nextToken)).nextToken).toBe(none.nextToken);

  await run.log(0, '# Setup', 'one', 'two');
  const first = await read(path, none.nextToken);
  expect(textsOf(first)).toEqual(['# Setup', 'one\n', 'two\n']);
  expect(first.lines[0]?.timestamp).toBe('0001-01-01T00:00:00Z');
  expect(first.nextToken).toMatch(/^\d+\.\d+\.\d+$/);
  const askedAt = performance.now();
  const nothing = await read(path, first.nextToken);
  expect(performance.now() - askedAt, 'a client that asks without a pause is slowed down').toBeGreaterThan(
    300,
  );
  expect(nothing).toMatchObject({ lines: [], nextToken: first.nextToken });

  await run.log(1, '# Get source', 'three');
  const second = await read(path, first.nextToken);
  expect(textsOf(second)).toEqual(['# Get source', 'three\n']);
  await run.finish();
  expect(await read(path, second.nextToken)).toEqual({ __type: 'DeploymentLogs', lines: [] });
  expect(textsOf(await read(path))).toEqual(['# Setup', 'one\n', 'two\n', '# Get source', 'three\n']);
});

test('a line that arrives while its reader waits is answered soon', async () => {
  const { path, run } = await startRun('soon');
  await run.log(0, 'one');
  const { nextToken } = await read(path);
  const waiting = read(path, nextToken);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await run.log(0, 'two');
  expect(textsOf(await waiting)).toEqual(['two\n']);
  await run.finish();
});

test('a long log comes in pieces that fit together without a gap', async () => {
  const { path, run } = await startRun('long');
  const texts = Array.from({ length: 1234 }, (_, index) => `line ${index}`);
  await run.log(0, ...texts);
  await run.finish();
  const seen: (string | undefined)[] = [];
  let token: string | undefined;
  do {
    const piece = await read(path, token);
    seen.push(...textsOf(piece));
    token = piece.nextToken;
  } while (token);
  expect(seen).toEqual(texts.map((text) => `${text}\n`));
});

test('a line that arrives out of order is not skipped', async () => {
  const { path, run } = await startRun('gap');
  const line = (sequence: number) => ({
    ...{ sequence, step: 0, kind: 'line' },
    ...{ timestamp: new Date().toISOString(), text: `line ${sequence}` },
  });
  await run.call('log', { lines: [line(1), line(3)] });
  const first = await read(path);
  expect(textsOf(first)).toEqual(['line 1\n']);
  await run.call('log', { lines: [line(2)] });
  expect(textsOf(await read(path, first.nextToken))).toEqual(['line 2\n', 'line 3\n']);
  await run.finish();
});

test.each(['update', 'preview', 'refresh', 'destroy'])(
  'the header "pulumi %s" and all behind it wait until the run has made such an update',
  async (operation) => {
    const { stack, path, run } = await startRun(`header-${operation}`, operation);
    await run.log(0, '# Get source', 'cloned');
    await run.log(1, `# pulumi ${operation}`, 'behind it');
    const before = await read(path);
    expect(textsOf(before)).toEqual(['# Get source', 'cloned\n']);
    expect((await read(path, before.nextToken)).nextToken).toBe(before.nextToken);
    const updateID = await makeUpdate(stack, run, operation);
    expect(textsOf(await read(path, before.nextToken))).toEqual([`# pulumi ${operation}`, 'behind it\n']);
    const updates = await server.call('GET', `${path}/updates`);
    expect(updates.body).toMatchObject([{ updateID, info: { kind: operation } }]);
    await run.finish();
  },
);

test('an update of another kind does not release the header', async () => {
  const { stack, path, run } = await startRun('other-kind', 'destroy');
  await makeUpdate(stack, run, 'preview');
  await run.log(0, '# pulumi destroy');
  expect((await read(path)).lines).toEqual([]);
  await run.finish();
});

test('when the run ends without such an update, the header reads differently and the reason follows', async () => {
  const { path, run } = await startRun('no-update');
  await run.log(0, '# pulumi update', 'no engine ever ran');
  await run.finish({ outcome: 'failed', cause: 'out-of-memory', message: 'It has 8192 MiB.' });
  const { lines, nextToken } = await read(path);
  expect(nextToken).toBeUndefined();
  expect(textsOf({ __type: 'DeploymentLogs', lines })).toEqual([
    '# Pulumi operation',
    'no engine ever ran\n',
    'The run needed more memory than its sandbox has. It has 8192 MiB. Give the stack or its pool a larger memory size, or lower the parallelism of the operation.\n',
  ]);
});

test('the header of a drift operation never reads as the CLI would misread it', async () => {
  const { path, run } = await startRun('drift', 'detect-drift');
  await run.log(0, '# pulumi detect-drift', 'looking');
  expect(textsOf(await read(path))).toEqual(['# Pulumi operation', 'looking\n']);
  await run.finish();
});

test('a step is read by offset and count', async () => {
  const { path, run } = await startRun('step');
  await run.log(0, '# Setup', 'setting up');
  await run.log(1, '# Get source', 'a', 'b', 'c');
  await run.steps(
    { name: 'Setup', status: 'succeeded', startedAt: null, updatedAt: null },
    { name: 'Get source', status: 'running', startedAt: null, updatedAt: null },
  );
  const step = (query: string) => server.expectCall(stepPage, 200, 'GET', `${path}/logs?${query}`);
  expect(await step('job=0&step=0')).toMatchObject({
    name: 'Setup',
    lines: [{ line: 'setting up\n' }],
    nextOffset: 1,
  });
  const first = await step('job=0&step=1&count=2');
  expect(first).toMatchObject({
    name: 'Get source',
    lines: [{ line: 'a\n' }, { line: 'b\n' }],
    nextOffset: 2,
  });
  await run.finish();
  const rest = await step('job=0&step=1&offset=2&count=1');
  expect(rest.lines.map(({ line }) => line)).toEqual(['c\n']);
  expect(rest).not.toHaveProperty('nextOffset');
  for (const count of ['0', '500', '-1', 'many']) {
    expect(await server.call('GET', `${path}/logs?job=0&step=1&count=${count}`)).toMatchObject({
      status: 400,
      body: { code: 400 },
    });
  }
  expect(await server.call('GET', `${path}/logs?job=0&step=1&count=499`)).toMatchObject({ status: 200 });
  expect(await server.call('GET', `${path}/logs?job=0&step=9`)).toMatchObject({ status: 404 });
  expect(await server.call('GET', `${path}/logs?job=1&step=0`)).toMatchObject({ status: 404 });
  expect(await server.call('GET', `${path}/logs?continuationToken=nonsense`)).toMatchObject({ status: 400 });
});

test('secrets are masked on receipt, whatever the runner let through', async () => {
  const stack = await server.makeStack('masking');
  const secret = 'correct horse/battery+staple';
  const { id } = await deploy(server, stack, {
    operationContext: { environmentVariables: { PASSWORD: { secret }, PLAIN: 'visible-value' } },
  });
  const run = await runner.mustClaim();
  const { jobToken } = await run.job();
  await run.log(0, `# Step ${secret}`, `${encodeURIComponent(secret)} ${jobToken} visible-value`);
  await run.steps({ name: `Step ${secret}`, status: 'running', startedAt: null, updatedAt: null });
  await run.finish({ outcome: 'failed', cause: 'program-error', message: `It said ${secret}.` });
  const path = `${stack}/deployments/${id}`;
  expect(textsOf(await read(path))).toEqual([
    '# Step ***',
    '*** *** visible-value\n',
    expect.stringContaining('It said ***.'),
  ]);
  const facts = (await server.call('GET', `/api/slipway/runs/${id}`)).body;
  expect(facts).toMatchObject({ message: 'It said ***.', steps: [{ name: 'Step ***' }] });
});

test("the password of the executor image's registry is masked as soon as the runner has it", async () => {
  const stack = await server.makeStack('registry');
  const credentials = { username: 'robot', password: { secret: 'correct-horse-battery' } };
  const { id } = await deploy(server, stack, {
    executorContext: { executorImage: { reference: 'registry.example.com/image', credentials } },
  });
  const run = await runner.mustClaim();
  expect((await run.call('image-credentials')).body).toMatchObject({
    credentials: { password: 'correct-horse-battery' },
  });
  await run.log(0, 'denied: robot:correct-horse-battery');
  expect(textsOf(await read(`${stack}/deployments/${id}`))).toEqual(['denied: robot:***\n']);
  await run.finish();
});
