import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '@slipway/control-plane';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { buildDefaultImage, cacheDirectory, ensureToolbox } from '../src/index.ts';
import { hostTraces } from '../src/testing/host-traces.ts';
import { eventually } from './run-setting.ts';

type Server = Awaited<ReturnType<typeof startServer>>;

let directory: string;
let server: Server;

beforeAll(async () => {
  const setUp = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
  await ensureToolbox(setUp);
  await buildDefaultImage(setUp);
  directory = await mkdtemp(join(tmpdir(), 'slipway-run-test-'));
  server = await startServer({
    dataDirectory: join(directory, 'server'),
    host: '127.0.0.1',
    port: 0,
    organization: 'acme',
    exampleRepository: makeRepository(directory),
  });
}, 900_000);

afterAll(async () => {
  await server?.close();
  await rm(directory, { recursive: true, force: true });
});

/** A bare repository with one empty project: nothing of it needs a language host. */
function makeRepository(parent: string): string {
  const work = join(parent, 'work');
  const bare = join(parent, 'examples.git');
  const script = `
    set -e
    git init --quiet --bare --initial-branch=main "$2"
    git init --quiet --initial-branch=main "$1"
    cd "$1"
    printf 'name: shop\\nruntime: nodejs\\n' > Pulumi.yaml
    git add --all
    git -c user.name=Test -c user.email=test@localhost commit --quiet --message first
    git push --quiet "$2" main`;
  execFileSync('sh', ['-c', script, 'sh', work, bare]);
  return bare;
}

async function call<T>(
  method: string,
  path: string,
  body: object | undefined,
  schema: z.ZodType<T>,
): Promise<T> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `token ${server.adminToken}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return schema.parse(text === '' ? {} : JSON.parse(text));
}

const created = z.object({ id: z.string(), version: z.number() });
const status = z.object({ status: z.string() });
const logs = z.object({
  lines: z.array(z.object({ line: z.string().optional(), header: z.string().optional() })),
});

interface Deployment {
  readonly path: string;
  readonly id: string;
}

async function deploy(
  stack: string,
  preRunCommands: string[],
  secrets: Record<string, string> = {},
): Promise<Deployment> {
  const path = `/api/stacks/acme/shop/${stack}/deployments`;
  await call('POST', '/api/stacks/acme/shop', { stackName: stack }, z.unknown());
  const environmentVariables = Object.fromEntries(
    Object.entries(secrets).map(([name, secret]) => [name, { secret }]),
  );
  const { id } = await call(
    'POST',
    path,
    {
      operation: 'preview',
      inheritSettings: false,
      sourceContext: { git: { repoUrl: 'http://slipway.internal/examples.git', branch: 'main' } },
      operationContext: {
        preRunCommands,
        environmentVariables,
        options: { skipInstallDependencies: true },
      },
    },
    created,
  );
  return { path, id };
}

async function textOf({ path, id }: Deployment): Promise<string> {
  const { lines } = await call('GET', `${path}/${id}/logs`, undefined, logs);
  return lines.map(({ line, header }) => line ?? `# ${header}\n`).join('');
}

async function until(
  deployment: Deployment,
  condition: (text: string, status: string) => boolean,
): Promise<string> {
  const deadline = performance.now() + 40_000;
  for (;;) {
    const { path, id } = deployment;
    // In this order: of a run that has ended, the log is complete.
    const current = (await call('GET', `${path}/${id}`, undefined, status)).status;
    const text = await textOf(deployment);
    if (condition(text, current)) return text;
    if (performance.now() > deadline) throw new Error(`this never came: ${condition}; ${current}\n${text}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const ended = (_text: string, current: string) => ['failed', 'succeeded'].includes(current);

async function startRunnerProcess(
  dataDirectory: string,
): Promise<{ process: ChildProcess; log: () => string }> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'runner-process.ts'), server.url, server.poolToken, dataDirectory],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error(`the runner ended: ${log}`))),
  ]);
  return { process: child, log: () => log };
}

function processesOfRun(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((id) => {
      try {
        return readFileSync(join('/proc', id, 'cmdline'), 'utf8').includes('the-sleep-of-the-run');
      } catch {
        return false;
      }
    });
}

test('a deployment runs in a container, its secrets masked, and its end has a cause', async () => {
  const runner = await startRunnerProcess(join(directory, 'first-runner'));
  try {
    const deployment = await deploy('dev', ['echo "the secret is $CANARY"', 'exit 3'], {
      CANARY: 'canary-5d41402abc',
    });
    const text = await until(deployment, ended);
    expect(text).toContain('# Setup');
    expect(text).toContain('Sandbox started');
    expect(text).toContain('# Get source');
    expect(text).toContain('the secret is ***');
    expect(text).not.toContain('canary-5d41402abc');
    expect(text).toContain('The Pulumi operation or a command of the run failed.');
    expect(runner.log()).not.toContain('canary-5d41402abc');
    const finished = await eventually(() => /"phaseMilliseconds":(\{[^}]*\})/.exec(runner.log())?.[1]);
    const phases = z.record(z.string(), z.number()).parse(JSON.parse(finished));
    console.log(`phases in milliseconds: ${finished}`);
    expect(phases.destroy).toBeLessThan(1_000);
  } finally {
    runner.process.kill('SIGTERM');
    await once(runner.process, 'exit');
  }
  expect(await readdir(join(directory, 'first-runner'), { recursive: true })).toEqual([
    'dependency-cache',
    'log-spools',
    'volumes',
  ]);
});

test('the runner grows by at most 10 MB for each live run', async () => {
  const runner = await startRunnerProcess(join(directory, 'measured-runner'));
  let measuring: NodeJS.Timeout | undefined;
  try {
    // The first run loads what all later ones share.
    await until(await deploy('warm', ['exit 1']), ended);
    const idleBytes = privateBytes(runner.process.pid);
    let largestBytes = idleBytes;
    measuring = setInterval(() => {
      largestBytes = Math.max(largestBytes, privateBytes(runner.process.pid));
    }, 100);
    const live: Deployment[] = [];
    for (const stack of ['one', 'two', 'three', 'four']) {
      live.push(await deploy(stack, ['seq 1 20000; echo "all said"; sleep 600']));
    }
    // Each has all of its log at the control plane and goes on, at the same time as the others.
    await eventually(() => countIn(runner.log(), '"message":"Run started"') === 1 + live.length);
    for (const deployment of live) await untilStored(deployment, 20_000);
    const grownBytes = (largestBytes - idleBytes) / live.length;
    console.log(
      `idle ${Math.round(idleBytes / 1e6)} MB, and ${Math.round(grownBytes / 1e5) / 10} MB for each live run`,
    );
    expect(grownBytes).toBeLessThan(10_000_000);
    expect(countIn(runner.log(), '"message":"Run finished"')).toBe(1);
  } finally {
    clearInterval(measuring);
    runner.process.kill('SIGTERM');
    await once(runner.process, 'exit');
  }
});

const countIn = (text: string, part: string) => text.split(part).length - 1;

/** Waits until the control plane has stored more than `count` lines of a run's log. */
async function untilStored({ id }: Deployment, count: number): Promise<void> {
  const deadline = performance.now() + 40_000;
  for (;;) {
    const { lines } = await server.controlPlane.db
      .selectFrom('run_log_chunks')
      .select((query) => query.fn.sum<string>('line_count').as('lines'))
      .where('run_id', '=', id)
      .executeTakeFirstOrThrow();
    if (Number(lines) > count) return;
    if (performance.now() > deadline) throw new Error(`the log of ${id} stopped at ${lines} lines`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Memory that this process has for itself. */
function privateBytes(processId: number | undefined): number {
  const rollup = readFileSync(`/proc/${processId}/smaps_rollup`, 'utf8');
  const kilobytes = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map((match) => Number(match[1]));
  return kilobytes.reduce((sum, part) => sum + part, 0) * 1024;
}

test('kill -9 of the runner ends its sandbox at once and leaves no mount, no cgroup, and no file but the log that waits to be delivered', async () => {
  const dataDirectory = join(directory, 'second-runner');
  const traces = () =>
    hostTraces(['slipway-run-', dataDirectory], directory).filter(
      // The server has processes and files of its own; the folders that a runner makes may stay.
      (line) =>
        !/^process |^file server\b|^file second-runner(\/volumes|\/dependency-cache|\/log-spools)?$/.test(
          line,
        ),
    );
  const spooled = () => traces().filter((line) => line.startsWith('file second-runner/log-spools/'));
  const before = traces();
  const runner = await startRunnerProcess(dataDirectory);
  try {
    const deployment = await deploy('killed', ['echo begun; sleep 600; echo the-sleep-of-the-run']);
    await until(deployment, (text) => text.includes('begun'));
    expect(processesOfRun()).not.toEqual([]);
    expect(traces()).not.toEqual(before);
  } finally {
    runner.process.kill('SIGKILL');
    await once(runner.process, 'exit');
  }
  const killedAt = performance.now();
  await eventually(() => processesOfRun().length === 0);
  expect(performance.now() - killedAt).toBeLessThan(2_000);
  // Of runs that others executed on this host meanwhile, something may have gone since.
  const left = () => traces().filter((line) => !spooled().includes(line) && !before.includes(line));
  await vi.waitFor(() => expect(left()).toEqual([]), 5_000);
  // Of one run: its folder, what delivers it, and its lines.
  expect(spooled().map((line) => line.replace(/^.*log-spools\/[0-9a-f-]+/, ''))).toEqual([
    '',
    '/run.json',
    '/segment-0000000001',
  ]);
});
