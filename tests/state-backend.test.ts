import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Server, startServer } from '@slipway/control-plane';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { usersOf } from '../packages/runner/src/testing/folder-users.ts';
import { expectSuccess, type PulumiUser, pulumiUser, writeProject } from './testing/pulumi-user.ts';

const updateLeaseSeconds = 20;
let directory: string;
let server: Server;
let user: PulumiUser;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-state-'));
  server = await startServer({
    dataDirectory: join(directory, 'data'),
    host: '127.0.0.1',
    port: 0,
    organization: 'local',
    updateLeaseSeconds,
  });
  user = await pulumiUser(join(directory, 'home'), { url: server.url, token: server.adminToken });
  await user.expectRun(directory, 'login', server.url);
});

afterAll(async () => {
  await server?.close();
  await rm(directory, { recursive: true, force: true });
});

/** A project in a folder of its own, with a stack. */
async function project(name: string, program: string, stack = 'dev'): Promise<string> {
  const folder = join(directory, name);
  await writeProject(folder, name, program);
  await user.expectRun(folder, 'stack', 'init', `local/${stack}`);
  return folder;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600 && !condition(); tries += 1) await sleep(50);
  expect(condition()).toBe(true);
}

const up = ['up', '--yes', '--skip-preview'];

test('a wrong access token is refused with a sentence that says what to do', async () => {
  const stranger = await pulumiUser(join(directory, 'stranger'), { url: server.url, token: 'pul-wrong' });
  const { code, stderr } = await stranger.run(directory, 'login', server.url);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/credentials/i);
});

test('whoami names the administrator', async () => {
  expect(await user.expectRun(directory, 'whoami')).toContain('admin');
});

test('a stack lives from init to rm', async () => {
  const folder = await project(
    'life',
    `exports.secret = pulumi.secret('canary'); new Cell('cell', config.get('value') ?? 'one');`,
  );
  expect(await user.expectRun(folder, 'stack', 'ls')).toContain('dev');
  expect(await user.expectRun(folder, 'preview')).toContain('2 to create');
  expect(await user.expectRun(folder, ...up)).toContain('2 created');
  await user.expectRun(folder, 'config', 'set', 'value', 'two');
  expect(await user.expectRun(folder, ...up)).toContain('1 updated');
  await user.expectRun(folder, 'refresh', '--yes');
  expect(await user.expectRun(folder, 'stack', 'output', 'secret')).toContain('[secret]');
  expect(await user.expectRun(folder, 'stack', 'output', 'secret', '--show-secrets')).toContain('canary');
  const history = JSON.parse(await user.expectRun(folder, 'stack', 'history', '--json'));
  expect(history.map(({ kind }: { kind: string }) => kind)).toEqual(['refresh', 'update', 'update']);
  expect(history[2]).toMatchObject({ result: 'succeeded', version: 1, resourceChanges: { create: 2 } });

  await user.expectRun(folder, 'stack', 'tag', 'set', 'colour', 'blue');
  expect(await user.expectRun(folder, 'stack', 'tag', 'get', 'colour')).toContain('blue');
  await user.expectRun(folder, 'stack', 'rename', 'local/life/renamed');
  expect(await user.expectRun(folder, 'stack', 'output', 'secret', '--show-secrets')).toContain('canary');
  await user.expectRun(folder, 'stack', 'select', 'local/renamed');
  expect(await user.expectRun(folder, ...up, '--config', 'value=two')).toContain('2 unchanged');

  const refused = await user.run(folder, 'stack', 'rm', '--yes');
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('still has resources');
  expect(await user.expectRun(folder, 'destroy', '--yes', '--skip-preview')).toContain('2 deleted');
  await user.expectRun(folder, 'stack', 'rm', '--yes');
  expect((await user.run(folder, 'stack', 'select', 'local/renamed')).code).not.toBe(0);
}, 120_000);

test('a second stack of the same name is refused', async () => {
  const folder = await project('twice', '');
  const second = await user.run(folder, 'stack', 'init', 'local/dev');
  expect(second.code).not.toBe(0);
  expect(second.stderr).toContain('already exists');
});

test('names with every character that the CLI allows', async () => {
  const folder = join(directory, 'odd.Name_1-2');
  await writeProject(folder, 'odd.Name_1-2', `exports.value = 1;`);
  await user.expectRun(folder, 'stack', 'init', 'local/Odd.stack_1-2');
  expect(await user.expectRun(folder, ...up)).toContain('1 created');
});

test('secret configuration is encrypted for its stack, and opens for no other', async () => {
  const folder = await project('secret', `exports.value = config.requireSecret('password');`);
  await user.expectRun(folder, 'config', 'set', '--secret', 'password', 'canary-password');
  const file = await readFile(join(folder, 'Pulumi.dev.yaml'), 'utf8');
  expect(file).toContain('secure:');
  expect(file).not.toContain('canary');
  expect(await user.expectRun(folder, 'config', 'get', 'password')).toContain('canary-password');
  await user.expectRun(folder, ...up);
  expect(await user.expectRun(folder, 'stack', 'export')).not.toContain('canary-password');

  await user.expectRun(folder, 'stack', 'init', 'local/other');
  await writeFile(join(folder, 'Pulumi.other.yaml'), file);
  const stolen = await user.run(folder, 'config', 'get', 'password', '--stack', 'local/other');
  expect(stolen.code).not.toBe(0);
  expect(stolen.stderr).toContain('authentication failed');
});

test('state is exported, edited, imported', async () => {
  const folder = await project('edit', `new Cell('a', 1); new Cell('b', 2);`);
  await user.expectRun(folder, ...up);
  const state = JSON.parse(await user.expectRun(folder, 'stack', 'export'));
  const [urn] = state.deployment.resources
    .map(({ urn }: { urn: string }) => urn)
    .filter((each: string) => each.endsWith('::b'));
  await user.expectRun(folder, 'state', 'delete', '--yes', urn);
  expect(await user.expectRun(folder, 'stack', 'export')).not.toContain(urn);
  await writeFile(join(folder, 'state.json'), JSON.stringify(state));
  await user.expectRun(folder, 'stack', 'import', '--file', 'state.json');
  expect(JSON.parse(await user.expectRun(folder, 'stack', 'export')).deployment.resources).toEqual(
    state.deployment.resources,
  );
  expect(await user.expectRun(folder, ...up)).toContain('3 unchanged');
});

test('a state with secrets is imported into its own stack, and into another that then reads them', async () => {
  const folder = await project('secret-state', `exports.key = pulumi.secret('canary-key');`);
  await user.expectRun(folder, ...up);
  const [sealed, clear] = [join(folder, 'sealed.json'), join(folder, 'clear.json')];
  await writeFile(sealed, await user.expectRun(folder, 'stack', 'export'));
  await writeFile(clear, await user.expectRun(folder, 'stack', 'export', '--show-secrets'));
  for (const file of [sealed, clear]) await user.expectRun(folder, 'stack', 'import', '--file', file);
  await user.expectRun(folder, 'stack', 'init', 'local/other');
  for (const file of [sealed, clear]) {
    await user.expectRun(folder, 'stack', 'import', '--force', '--file', file);
    expect(await user.expectRun(folder, 'stack', 'output', 'key', '--show-secrets')).toContain('canary-key');
  }
});

test('an empty stack can be exported and imported again', async () => {
  const folder = await project('empty', '');
  await writeFile(join(folder, 'state.json'), await user.expectRun(folder, 'stack', 'export'));
  await user.expectRun(folder, 'stack', 'import', '--file', 'state.json');
});

test('a stack reference reads a secret output of another stack', async () => {
  await user.expectRun(await project('given', `exports.key = pulumi.secret('canary-key');`), ...up);
  const folder = await project(
    'taken',
    `exports.length = new pulumi.StackReference('local/given/dev').requireOutput('key').apply((key) => key.length);`,
  );
  await user.expectRun(folder, ...up);
  expect(await user.expectRun(folder, 'stack', 'output', 'length', '--show-secrets')).toContain('10');
});

describe('while an update is running', () => {
  test('a second one is refused with a clear conflict', async () => {
    const marker = join(directory, 'conflict-marker');
    const folder = await project('conflict', `new Slow('slow', 6, '${marker}');`);
    const first = user.start(folder, ...up);
    await until(() => existsSync(marker));
    const second = await user.run(folder, ...up);
    expect(second.code).not.toBe(0);
    expect(second.stderr + second.stdout).toMatch(/conflict: another update is currently in progress/i);
    expectSuccess(await first.finished);
  }, 60_000);

  test('`pulumi cancel` from another shell ends it, and the stack is free', async () => {
    const marker = join(directory, 'cancel-marker');
    const folder = await project('cancelled', `new Slow('slow', 60, '${marker}');`);
    const first = user.start(folder, ...up);
    await until(() => existsSync(marker));
    await user.expectRun(folder, 'cancel', '--yes');
    await writeProject(folder, 'cancelled', `new Cell('cell', 1);`);
    const { code } = await user.run(folder, ...up);
    expect(code).toBe(0);
    first.child.kill('SIGKILL');
    await first.finished;
  }, 60_000);

  test('a killed CLI loses its lease: the stack is usable again, and its pending operation is reported', async () => {
    const marker = join(directory, 'killed-marker');
    const folder = await project('killed', `new Slow('slow', 120, '${marker}');`);
    const first = user.start(folder, ...up);
    await until(() => existsSync(marker));
    first.child.kill('SIGKILL');
    await first.finished;
    // Neither its language host nor its provider, in the middle of something, goes on without it.
    await until(() => usersOf(folder).length === 0);
    expect((await user.run(folder, ...up)).stderr).toMatch(/another update is currently in progress/i);
    await sleep(updateLeaseSeconds * 1000);
    await writeProject(folder, 'killed', '');
    const next = await user.run(folder, ...up);
    expect(next.stdout + next.stderr).toMatch(/pending/i);
    const history = JSON.parse(await user.expectRun(folder, 'stack', 'history', '--json'));
    expect(history.at(-1)).toMatchObject({ kind: 'update', result: 'failed' });
  }, 90_000);
});

test('a state of 20 MB comes and goes unchanged', async () => {
  const folder = await project(
    'large',
    `for (let n = 0; n < 500; n += 1) new Cell('cell-' + n, n === 0 ? 'x'.repeat(20 * 1024 * 1024) : n);`,
  );
  const { deployment } = JSON.parse(await user.expectRun(folder, 'stack', 'export'));
  const resources = Array.from({ length: 500 }, (_, n) => ({
    urn: `urn:pulumi:dev::large::custom:index:Thing::thing-${n}`,
    custom: false,
    type: 'custom:index:Thing',
    outputs: { text: n === 0 ? 'x'.repeat(20 * 1024 * 1024) : '\u0000 1e400' },
  }));
  await writeFile(
    join(folder, 'state.json'),
    JSON.stringify({ version: 3, deployment: { ...deployment, resources } }),
  );
  await user.expectRun(folder, 'stack', 'import', '--file', 'state.json');
  const exported = JSON.parse(await user.expectRun(folder, 'stack', 'export'));
  expect(exported.deployment.resources).toHaveLength(500);
  expect(exported.deployment.resources[0].outputs.text).toHaveLength(20 * 1024 * 1024);
}, 180_000);
