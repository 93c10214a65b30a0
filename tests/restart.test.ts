import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultImageReference } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { Api, until } from './testing/api.ts';
import { makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import { type SlipwayProcess, startSlipwayProcess } from './testing/slipway-process.ts';

/** Runs reach no loopback of this host: the repository is served on one end of a cable. */
let cable: NetworkNamespace;
let directory: string;
let gitServer: GitServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-restart-'));
  cable = await makeNetworkNamespace();
  gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
});

afterAll(async () => {
  await gitServer?.[Symbol.asyncDispose]();
  await cable?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** `./slipway up` on a data directory, as a user starts it. */
function startUp(dataDirectory: string, listen = '127.0.0.1:0'): SlipwayProcess {
  return startSlipwayProcess([
    ...['up', '--listen', listen, '--data-dir', dataDirectory, '--isolation', 'container'],
    ...['--memory-mib', '1024', '--volume-gib', '4', '--default-image', defaultImageReference],
    // Short, so that its end can be waited for.
    ...['--allow-private-networks', `${cable.hostAddress}/32`, '--lease-seconds', '6'],
  ]);
}

/** The same, when it is ready. */
async function up(dataDirectory: string, listen?: string): Promise<{ slipway: SlipwayProcess; api: Api }> {
  const slipway = startUp(dataDirectory, listen);
  const [, url = ''] = await slipway.says(/ready at (\S+)/);
  const token = await readFile(join(dataDirectory, 'admin-token'), 'utf8');
  return { slipway, api: new Api(url, token.trim()) };
}

test.each([
  { signal: 'SIGKILL', cause: 'runner-lost' },
  { signal: 'SIGINT', cause: 'runner-shutdown' },
] as const)(
  '`up` that is ended by $signal in the middle of a run loses nothing that it had acknowledged',
  async ({ signal, cause }) => {
    const dataDirectory = join(directory, signal);
    const before = await up(dataDirectory);
    await using killed = before.slipway;
    const stack = await makeStack(before.api, gitServer);
    expect(await (await stack.deploy()).finished()).toMatchObject({ outcome: 'succeeded' });
    const state = await before.api.expect('GET', `/api/stacks/${stack.name}/export`);
    const running = await stack.deploy('while :; do i=$((i + 1)); echo "line $i"; sleep 0.02; done');
    const waiting = await stack.deploy('echo "it was my turn"');
    await running.logged(/^line 100$/);
    // Up to the moment at which nothing is answered any more: the end comes in the middle of things.
    const acknowledged: string[] = [];
    const reading = (async () => {
      for await (const line of running.follow()) acknowledged.push(line);
    })().catch(() => undefined);
    await until('more is read', 30_000, () => (acknowledged.length > 150 ? true : undefined));
    killed.kill(signal);
    expect(await killed.ended).toBe(signal === 'SIGKILL' ? 'SIGKILL' : 0);
    await reading;

    const after = await up(dataDirectory, new URL(before.api.url).host);
    await using restarted = after.slipway;
    expect(restarted.output).toContain('Slipway is ready');
    const again = running.through(after.api);
    expect(await again.finished()).toMatchObject({ outcome: 'failed', cause });
    const log = await again.log();
    expect(acknowledged.length).toBeGreaterThan(150);
    expect(log.slice(0, acknowledged.length)).toEqual(acknowledged);
    expect(await after.api.expect('GET', `/api/stacks/${stack.name}/export`)).toEqual(state);

    const next = waiting.through(after.api);
    expect(await next.finished()).toMatchObject({ outcome: 'succeeded' });
    expect(await next.log()).toContain('it was my turn');
  },
  300_000,
);

test('`up` that gets SIGTERM lets its run end, and begins no other one', async () => {
  const dataDirectory = join(directory, 'drained');
  const { slipway, api } = await up(dataDirectory);
  await using draining = slipway;
  const stack = await makeStack(api, gitServer);
  const running = await stack.deploy('echo begun; sleep 4; echo done');
  await running.logged(/^begun$/);
  const waiting = await stack.deploy('echo "not now"');
  draining.kill('SIGTERM');
  // It goes on serving the run: the log is read over it.
  await running.logged(/^done$/);
  expect(await draining.ended).toBe(0);
  const after = await up(dataDirectory, new URL(api.url).host);
  await using restarted = after.slipway;
  expect(restarted.output).toContain('Slipway is ready');
  expect(await running.through(after.api).finished()).toMatchObject({ outcome: 'succeeded' });
  expect(await waiting.through(after.api).finished()).toMatchObject({ outcome: 'succeeded' });
}, 120_000);

test('a second `up` on the same data directory is refused with a sentence, and does the first no harm', async () => {
  const dataDirectory = join(directory, 'shared');
  const first = await up(dataDirectory);
  await using running = first.slipway;
  await using second = startUp(dataDirectory);
  await expect(second.says(/ready at/)).rejects.toThrow(/^slipway: .*in use by another Slipway.*--data-dir/m);
  expect(await second.ended).toBe(1);
  expect(await first.api.call('GET', '/api/user')).toMatchObject({ status: 200 });
  expect(running.output).toContain('Slipway is ready');
}, 120_000);
