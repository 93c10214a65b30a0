import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { SmallDisk } from '../packages/runner/src/testing/small-disk.ts';
import { makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import type { SlipwayProcess } from './testing/slipway-process.ts';
import {
  numbersIn,
  type RunningServer,
  startRunnerProcess,
  startServerProcess,
  upTo,
} from './testing/split-slipway.ts';

/** A runner whose own disk can be filled; the control plane has another. */
let directory: string;
let cable: NetworkNamespace;
let gitServer: GitServer;
let disk: SmallDisk;
let server: RunningServer;
let runner: SlipwayProcess;

const diskMiB = 1200;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-runner-disk-full-'));
  cable = await makeNetworkNamespace();
  gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
  disk = await SmallDisk.mount(diskMiB);
  server = await startServerProcess(join(directory, 'server'));
  runner = await startRunnerProcess(
    server,
    join(disk.path, 'data'),
    ...['--volume-gib', '1', '--reserve-disk-gib', '1', '--overcommit-disk', '4'],
    ...['--dependency-cache-gib', '0'],
    ...['--allow-private-networks', `${cable.hostAddress}/32`],
  );
}, 180_000);

afterAll(async () => {
  await runner?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
  await gitServer?.[Symbol.asyncDispose]();
  await cable?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

test('below its reserve a runner claims nothing and says why; with room again it takes what waits', async () => {
  await disk.fill(900);
  // It sees it with its next claim.
  await runner.says(/Not claiming runs of the default size: 1 GiB of disk are needed and 0 are left/);
  const stack = await makeStack(server.api, gitServer, 'waits');
  const run = await stack.deploy('echo "it was my turn"');
  expect(await run.run()).toMatchObject({ state: 'queued' });
  await disk.free();
  await runner.says(/There is room for a run again/);
  expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(await run.log()).toContain('it was my turn');
}, 120_000);

test('full in the middle of a run: lines wait for room; when there is none the run ends, and the runner goes on', async () => {
  const stack = await makeStack(server.api, gitServer, 'fills');
  const run = await stack.deploy('n=0; while :; do n=$((n + 1)); echo "line $n"; sleep 0.02; done');
  await run.logged(/^line 50$/);
  await disk.fill();
  await runner.says(/the log of a run waits for room/);
  const before = numbersIn(await run.log()).length;
  await disk.free();
  await run.logged(new RegExp(`^line ${before + 200}$`));

  await disk.fill();
  expect(await run.finished()).toMatchObject({ outcome: 'failed', cause: 'host-disk-full' });
  const log = await run.log();
  const numbers = numbersIn(log);
  expect(numbers).toEqual(upTo(numbers.length));
  expect(log.at(-1)).toMatch(/no room left on its disk.*slipway-small-disk-.*--reserve-disk-gib/);
  await disk.free();
  const next = await stack.deploy('echo "the next one"');
  expect(await next.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(await readdir(join(disk.path, 'data', 'runner', 'log-spools'))).toEqual([]);
}, 180_000);
