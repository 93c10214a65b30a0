import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultLeaseSeconds } from '@slipway/core';
import { defaultImageReference } from '@slipway/runner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { Api, type Deployment, until } from './testing/api.ts';
import { type DeployableStack, makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import { descendants } from './testing/sandbox-processes.ts';
import { type SlipwayProcess, startSlipwayProcess } from './testing/slipway-process.ts';

/** Control plane and runner as processes of their own, so that each can be killed alone, in the middle of a chatty run. */
let cable: NetworkNamespace;
let directory: string;
let gitServer: GitServer;
let server: SlipwayProcess;
let runner: SlipwayProcess;
let api: Api;
const timeoutMilliseconds = 240_000;

const spools = () => join(directory, 'runner', 'runner', 'log-spools');

async function startServer(listen = '127.0.0.1:0', leaseSeconds = defaultLeaseSeconds): Promise<void> {
  const dataDirectory = join(directory, 'server');
  server = startSlipwayProcess([
    ...['server', '--listen', listen, '--data-dir', dataDirectory, '--lease-seconds', String(leaseSeconds)],
  ]);
  const [, url = ''] = await server.says(/ready at (\S+)/);
  api = new Api(url, (await readFile(join(dataDirectory, 'admin-token'), 'utf8')).trim());
}

async function startRunner(): Promise<void> {
  const poolToken = (await readFile(join(directory, 'server', 'pool-token'), 'utf8')).trim();
  runner = startSlipwayProcess([
    ...['runner', '--server', api.url, '--pool-token', poolToken, '--data-dir', join(directory, 'runner')],
    ...['--isolation', 'container', '--memory-mib', '1024', '--volume-gib', '4'],
    ...['--default-image', defaultImageReference, '--allow-private-networks', `${cable.hostAddress}/32`],
  ]);
  await runner.says(/The runner works for the pool/);
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-durability-'));
  cable = await makeNetworkNamespace();
  gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
  await startServer();
  await startRunner();
}, 120_000);

afterAll(async () => {
  await runner?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await gitServer?.[Symbol.asyncDispose]();
  await cable?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

/** The whole control plane: its processes, and those of its database. */
async function killServer(): Promise<void> {
  // The database's processes end each other.
  for (const pid of [server.pid, ...descendants(server.pid)]) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  expect(await server.ended).toBe('SIGKILL');
}

/** Writes 3,000 lines a second, `line 1`, `line 2` …, for so many seconds. */
const chatter = (seconds: number) =>
  `node -e 'let n = 0; const t = setInterval(() => { for (let i = 0; i < 60; i++) console.log("line " + ++n); if (n >= ${seconds} * 3000) clearInterval(t); }, 20)'`;

let stacks = 0;
async function deployChatter(seconds: number): Promise<{ stack: DeployableStack; run: Deployment }> {
  stacks += 1;
  const stack = await makeStack(api, gitServer, `stack-${stacks}`);
  const run = await stack.deploy(chatter(seconds));
  await run.logged(/^line 3000$/);
  return { stack, run };
}

/** The numbers of the lines of a log, of which each must be there once, in order. */
function numbersIn(log: readonly string[]): number[] {
  const numbers = log.flatMap((line) => /^line (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
  return numbers;
}

/** The last of the numbered lines that lie in the spools of the runner; 0 without one. */
function lastSpooled(): number {
  const files = readdirSync(spools(), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('segment-'),
  );
  const numbers = files.flatMap((name) =>
    [...readFileSync(join(spools(), name), 'utf8').matchAll(/"text":"line (\d+)"\}\n/g)].map((match) =>
      Number(match[1]),
    ),
  );
  return Math.max(0, ...numbers);
}

test(
  'kill -9 of the runner loses no line that it had read; the next one delivers them, and then frees the stack',
  async () => {
    const { stack, run } = await deployChatter(60);
    const waiting = await stack.deploy('echo "it was my turn"');
    runner.kill('SIGKILL');
    await runner.ended;
    const killedAt = performance.now();
    const spooled = lastSpooled();
    expect(spooled).toBeGreaterThan(3000);
    await startRunner();
    expect(await run.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    const log = await run.log();
    expect(numbersIn(log).length).toBeGreaterThanOrEqual(spooled);
    expect(log.at(-1)).toMatch(/^The runner gave no sign of life any more/);
    // Sooner than its lease would have ended.
    expect(performance.now() - killedAt).toBeLessThan(defaultLeaseSeconds * 1000);
    expect(await waiting.finished()).toMatchObject({ outcome: 'succeeded' });
    expect(await waiting.log()).toContain('it was my turn');
    expect(readdirSync(spools())).toEqual([]);
  },
  timeoutMilliseconds,
);

test(
  'kill -9 of the control plane and its database ends no run and loses no line',
  async () => {
    const { run } = await deployChatter(12);
    await killServer();
    await startServer(new URL(api.url).host);
    const again = run.through(api);
    await again.logged(/^line 36000$/);
    expect(numbersIn(await again.log())).toHaveLength(36_000);
  },
  timeoutMilliseconds,
);

test(
  'a control plane that was away for longer than the lease gets every line that the runner had read',
  async () => {
    const { host } = new URL(api.url);
    await killServer();
    await startServer(host, 6);
    const { run } = await deployChatter(60);
    await killServer();
    await until(
      'the run was given up',
      60_000,
      () => /could not be reported/.test(runner.output) || undefined,
    );
    const spooled = lastSpooled();
    expect(spooled).toBeGreaterThan(3000 * 5);
    await startServer(new URL(api.url).host);
    const again = run.through(api);
    expect(await again.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    await until('the spool was delivered', 60_000, () => readdirSync(spools()).length === 0 || undefined);
    const log = await again.log();
    expect(numbersIn(log).length).toBeGreaterThanOrEqual(spooled);
    expect(log.at(-1)).toMatch(/^The runner gave no sign of life any more/);
  },
  timeoutMilliseconds,
);
