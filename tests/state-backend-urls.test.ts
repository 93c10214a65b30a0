import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '@slipway/control-plane';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PulumiUser, pulumiUser, writeProject } from './testing/pulumi-user.ts';

let directory: string;
let server: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-urls-'));
});

afterEach(async () => {
  await server?.close();
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<Server> {
  const started = await startServer({
    dataDirectory: join(directory, 'data'),
    host: '127.0.0.1',
    port: 0,
    organization: 'local',
  });
  server = started;
  return started;
}

/** Somebody who knows the server by this URL and by no other. */
async function userAt(url: string, token: string): Promise<PulumiUser> {
  const user = await pulumiUser(await mkdtemp(join(directory, 'home-')), { url, token });
  await user.expectRun(directory, 'login', url);
  return user;
}

test('a stack with secrets opens and updates through every URL of its server, and after a move to another', async () => {
  const folder = join(directory, 'program');
  const opens = async (user: PulumiUser) => {
    await user.expectRun(folder, 'stack', 'select', 'local/dev');
    expect(await user.expectRun(folder, 'stack', 'output', 'key', '--show-secrets')).toContain('canary');
    expect(await user.expectRun(folder, 'config', 'get', 'password')).toContain('canary');
    expect(await user.expectRun(folder, 'up', '--yes', '--skip-preview')).toContain('2 unchanged');
  };
  const before = await start();
  const byName = await userAt(before.url, before.adminToken);
  await writeProject(
    folder,
    'program',
    `exports.key = config.requireSecret('password'); new Cell('cell', config.requireSecret('password'));`,
  );
  await byName.expectRun(folder, 'stack', 'init', 'local/dev');
  await byName.expectRun(folder, 'config', 'set', '--secret', 'password', 'canary');
  await byName.expectRun(folder, 'up', '--yes', '--skip-preview');
  await opens(byName);

  await opens(await userAt(before.url.replace('localhost', '127.0.0.1'), before.adminToken));
  await opens(byName);

  await before.close();
  const after = await start();
  expect(after.url).not.toBe(before.url);
  await opens(await userAt(after.url, after.adminToken));
}, 180_000);
