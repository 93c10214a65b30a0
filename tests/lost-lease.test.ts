import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IsolationKind } from '@slipway/core';
import { defaultImageReference } from '@slipway/runner';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { isAlive } from '../packages/runner/src/testing/host-processes.ts';
import { Api, type Deployment, until } from './testing/api.ts';
import { type DeployableStack, makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import { tracesOfRunner } from './testing/runner-traces.ts';
import { type RunOfRunner, sandboxProcesses } from './testing/sandbox-processes.ts';
import { type SlipwayProcess, startSlipwayProcess } from './testing/slipway-process.ts';

const spoolsFolder = join('runner', 'log-spools');

/** All that lies in a runner's data directory, but for the folder of the spools itself: the first run makes it. */
async function pathsIn(dataDirectory: string): Promise<string[]> {
  const paths = await readdir(dataDirectory, { recursive: true });
  return paths.filter((path) => path !== spoolsFolder).sort();
}

interface Variant {
  readonly isolation: IsolationKind;
  /** Short, so that its end can be waited for; an emulated guest needs more time to be heard in. */
  readonly leaseSeconds: number;
}

describe.each<Variant>([
  { isolation: 'container', leaseSeconds: 6 },
  { isolation: 'vm', leaseSeconds: 12 },
])('with isolation $isolation', { timeout: 300_000 }, ({ isolation, leaseSeconds }) => {
  /** The control plane's end of `cable` stays: what is cut is the runner's, which has a cable of its own in each test. */
  let directory: string;
  let cable: NetworkNamespace;
  let gitServer: GitServer;
  let server: SlipwayProcess;
  let api: Api;
  let poolToken: string;
  let stack: DeployableStack;
  let elsewhere: NetworkNamespace;
  let runner: SlipwayProcess;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slipway-lost-'));
    cable = await makeNetworkNamespace();
    gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
    const dataDirectory = join(directory, 'server');
    server = startSlipwayProcess([
      ...['server', '--listen', `${cable.hostAddress}:0`, '--data-dir', dataDirectory, '--insecure-http'],
      ...['--lease-seconds', String(leaseSeconds)],
    ]);
    const [, url = ''] = await server.says(/ready at (\S+)/);
    poolToken = (await readFile(join(dataDirectory, 'pool-token'), 'utf8')).trim();
    api = new Api(url, (await readFile(join(dataDirectory, 'admin-token'), 'utf8')).trim());
    stack = await makeStack(api, gitServer);
  }, 120_000);

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await gitServer?.[Symbol.asyncDispose]();
    await cable?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }, 60_000);

  beforeEach(async () => {
    elsewhere = await makeNetworkNamespace();
    runner = await startRunnerProcess('first', elsewhere.enter);
  }, 60_000);

  afterEach(async () => {
    await runner?.[Symbol.asyncDispose]();
    await elsewhere?.[Symbol.asyncDispose]();
  }, 60_000);

  async function startRunnerProcess(name: string, enter: readonly string[]): Promise<SlipwayProcess> {
    const started = startSlipwayProcess(
      [
        ...['runner', '--server', api.url, '--pool-token', poolToken, '--insecure-http'],
        ...['--data-dir', join(directory, name), '--isolation', isolation, '--cpus', '1'],
        ...['--memory-mib', '1024', '--volume-gib', '4', '--default-image', defaultImageReference],
        ...['--allow-private-networks', `${cable.hostAddress}/32`],
      ],
      enter,
    );
    await started.says(/The runner works for the pool/);
    return started;
  }

  /** A run that goes on until it is stopped, and where its code is. */
  async function startEndlessRun(): Promise<{ deployment: Deployment; place: RunOfRunner }> {
    const deployment = await stack.deploy('echo begun; exec sleep 600');
    await deployment.logged(/^begun$/);
    const place = { isolation, runnerId: runner.pid, runId: deployment.id };
    expect(sandboxProcesses(place)).not.toEqual([]);
    return { deployment, place };
  }

  /** Runs are short: they end with a command that fails, before Pulumi begins. */
  const sayAndFail = (words: string) => `echo "${words}"; exit 7`;
  const saidAndFailed = { outcome: 'failed', cause: 'program-error' };

  test('a runner that is cut off destroys its sandbox before the stack is given to another one', async () => {
    const { deployment, place } = await startEndlessRun();
    const next = await stack.deploy(sayAndFail('it was my turn'));
    await using other = await startRunnerProcess('second', []);
    // Another stack's run shows that the other runner is at work: only the lane keeps it from taking the next one.
    const elsewhereStack = await makeStack(api, gitServer, 'other');
    const elsewhereRun = await elsewhereStack.deploy(sayAndFail('I am another'));
    expect(await elsewhereRun.finished()).toMatchObject(saidAndFailed);
    expect(await next.run()).toMatchObject({ state: 'queued' });

    // All by the monotonic clock of the one machine that both sides are on.
    const cutAt = performance.now();
    await elsewhere.disconnect();
    const [goneAt, stillHeldAt] = await Promise.all([
      until('the sandbox of the runner that is cut off is gone', 90_000, () =>
        sandboxProcesses(place).length === 0 ? performance.now() : undefined,
      ),
      lastMomentHeld(deployment),
    ]);
    expect(goneAt).toBeLessThan(stillHeldAt);
    // By its own doing: before its lease ended, and not before it had to. A short interruption costs no run.
    expect(goneAt - cutAt).toBeLessThan(leaseSeconds * 1000);
    expect(goneAt - cutAt).toBeGreaterThan((leaseSeconds / 2) * 1000);
    expect(isAlive(runner.pid)).toBe(true);
    expect(await deployment.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    expect(await next.finished()).toMatchObject(saidAndFailed);
    expect(await next.log()).toContain('it was my turn');
    expect(isAlive(other.pid)).toBe(true);
  });

  /** The last moment at which the control plane was asked about a run and answered that it was not finished. */
  async function lastMomentHeld(deployment: Deployment): Promise<number> {
    let held = performance.now();
    await until('the control plane takes the run', 120_000, async () => {
      const askedAt = performance.now();
      if ((await deployment.run()).state === 'finished') return true;
      held = askedAt;
      return undefined;
    });
    return held;
  }

  test('`kill -9` of a runner ends its sandbox at once and leaves nothing of it', async () => {
    const dataDirectory = join(directory, 'first');
    // The runner of the test before was stopped while it was cut off: its last lines are this one's to deliver.
    const before = await until('the earlier run has left nothing', 30_000, async () => {
      const found = await pathsIn(dataDirectory);
      return found.some((path) => path.startsWith(spoolsFolder)) ? undefined : found;
    });
    const { deployment, place } = await startEndlessRun();
    const traces = tracesOfRunner(place, elsewhere, dataDirectory);
    expect(traces.processes().length).toBeGreaterThan(1);
    for (const kind of ['namespace net:', 'namespace user:', 'socket'])
      expect(traces.others()).toContainEqual(expect.stringContaining(kind));

    const killedAt = performance.now();
    runner.kill('SIGKILL');
    expect(await runner.ended).toBe('SIGKILL');
    await until('its processes are gone', 30_000, () => (traces.processes().length === 0 ? true : undefined));
    expect(performance.now() - killedAt).toBeLessThan(1_000);
    await expect.poll(traces.others, { timeout: 5_000 }).toEqual([]);
    // But for the log of this run, which waits to be delivered.
    const left = await pathsIn(dataDirectory);
    expect(left.filter((path) => !path.startsWith(join(spoolsFolder, deployment.id)))).toEqual(before);
    expect(await deployment.run()).toMatchObject({ state: 'running' });

    expect(await deployment.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    await using other = await startRunnerProcess('second', []);
    expect(await (await stack.deploy(sayAndFail('next'))).finished()).toMatchObject(saidAndFailed);
    expect(isAlive(other.pid)).toBe(true);
  });
});
