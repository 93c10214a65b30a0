import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { GitServer } from '../packages/executor/test/testing/git-server.ts';
import { SmallDisk } from '../packages/runner/src/testing/small-disk.ts';
import { until } from './testing/api.ts';
import { makeStack, serveEmptyProject } from './testing/deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './testing/network-namespace.ts';
import { type PulumiUser, pulumiUser, writeProject } from './testing/pulumi-user.ts';
import type { SlipwayProcess } from './testing/slipway-process.ts';
import {
  chatter,
  numbersIn,
  type RunningServer,
  startRunnerProcess,
  startServerProcess,
  upTo,
} from './testing/split-slipway.ts';

/** Control plane and runner as processes of their own; the database has a disk that can be filled. */
let directory: string;
let cable: NetworkNamespace;
let gitServer: GitServer;
let disk: SmallDisk;
let server: RunningServer;
let runner: SlipwayProcess;
let user: PulumiUser;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-database-faults-'));
  cable = await makeNetworkNamespace();
  gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
  disk = await SmallDisk.mount(500);
  server = await startServerProcess(join(disk.path, 'data'));
  const network = ['--allow-private-networks', `${cable.hostAddress}/32`];
  runner = await startRunnerProcess(server, join(directory, 'runner'), ...network);
  user = await pulumiUser(join(directory, 'home'), { url: server.api.url, token: server.adminToken });
}, 180_000);

afterAll(async () => {
  await runner?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
  await gitServer?.[Symbol.asyncDispose]();
  await cable?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

const exported = z.object({
  deployment: z.looseObject({ resources: z.array(z.object({ urn: z.string() })).default([]) }),
});

/** The names of the cells in the state of a stack. */
async function cellsOf(folder: string): Promise<string[]> {
  const { deployment } = exported.parse(JSON.parse(await user.expectRun(folder, 'stack', 'export')));
  return deployment.resources.flatMap(({ urn }) => /dynamic:Resource::(.*)$/.exec(urn)?.[1] ?? []);
}

/** A program that makes one cell after the other, `count` of them, each once the file `<name>` is there. */
async function cellByCell(
  name: string,
  count: number,
): Promise<{ folder: string; gate: (n: number) => string }> {
  const folder = join(directory, name);
  const gate = (n: number) => join(folder, `gate-${n}`);
  await writeProject(
    folder,
    name,
    `class Gated extends pulumi.dynamic.Resource {
      constructor(name, gate, options) {
        super({
          async create(inputs) {
            const { existsSync, writeFileSync } = require('node:fs');
            writeFileSync(inputs.gate + '.reached', '');
            while (!existsSync(inputs.gate)) await new Promise((resolve) => setTimeout(resolve, 20));
            return { id: 'cell', outs: inputs };
          },
        }, name, { gate }, options);
      }
    }
    let last;
    for (let n = 1; n <= ${count}; n += 1) {
      last = new Gated('cell-' + n, ${JSON.stringify(join(folder, 'gate-'))} + n, last ? { dependsOn: last } : {});
    }`,
  );
  await user.expectRun(folder, 'stack', 'init', 'local/dev');
  return { folder, gate };
}

const reached = (gate: string) =>
  until(`${gate} is reached`, 60_000, () => existsSync(`${gate}.reached`) || undefined);

test('kill -9 of the database in the middle of a run and of `pulumi up` ends neither, and loses nothing', async () => {
  const stack = await makeStack(server.api, gitServer, 'chatty');
  const run = await stack.deploy(chatter(24_000));
  await run.logged(/^line 3000$/);
  const { folder, gate } = await cellByCell('killed', 6);
  const up = user.start(folder, 'up', '--yes', '--skip-preview').finished;
  for (let n = 1; n <= 6; n += 1) {
    await reached(gate(n));
    // In the middle of the creation whose end is to be written next.
    if (n % 2 === 0) process.kill(await server.databaseProcess(), 'SIGKILL');
    await writeFile(gate(n), '');
  }
  const { code, stdout, stderr } = await up;
  expect(`${stdout}${stderr}`).toContain('7 created');
  expect(code).toBe(0);
  expect(await cellsOf(folder)).toEqual(upTo(6).map((n) => `cell-${n}`));
  expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(numbersIn(await run.log())).toEqual(upTo(24_000));
  expect(server.process.output).toContain('The database has ended; starting it again');
  expect(server.process.output).toContain('The database serves again');
}, 240_000);

describe('the disk of the database is full', () => {
  test('state is refused with the disk’s name, lines wait with the runner, reading goes on; with room all goes on', async () => {
    const stack = await makeStack(server.api, gitServer, 'waits');
    const { folder, gate } = await cellByCell('full', 3);
    const run = await stack.deploy(chatter(15_000));
    await run.logged(/^line 1000$/);
    const up = user.start(folder, 'up', '--yes', '--skip-preview').finished;
    await reached(gate(1));
    await writeFile(gate(1), '');
    await reached(gate(2));
    const acknowledged = await run.log();
    await disk.fill(40);
    await writeFile(gate(2), '');
    const { code, stdout, stderr } = await up;
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toMatch(/disk of the control plane's database is full.*MiB are free at/s);

    // What was acknowledged can be read, and says what there is; nothing new is begun.
    expect((await cellsOf(folder))[0]).toBe('cell-1');
    expect((await run.log()).slice(0, acknowledged.length)).toEqual(acknowledged);
    const refused = await user.run(folder, 'up', '--yes', '--skip-preview');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr + refused.stdout).toMatch(/disk of the control plane's database is full/);
    const deploying = stack.deploy('echo never').then(
      () => 'was accepted',
      (error: unknown) => String(error),
    );
    expect(await deploying).toMatch(/507.*disk of the control plane's database is full/);
    await until(
      'the control plane has said so',
      10_000,
      () => /disk of the control plane's database is full/.test(server.process.output) || undefined,
    );

    await disk.free();
    expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
    expect(numbersIn(await run.log())).toEqual(upTo(15_000));
    await writeFile(gate(3), '');
    await user.expectRun(folder, 'up', '--yes', '--skip-preview');
    expect(await cellsOf(folder)).toEqual(['cell-1', 'cell-2', 'cell-3']);
  }, 240_000);

  test('to the last byte, so that it cannot even start again: it is named, and with room all is there again', async () => {
    const stack = await makeStack(server.api, gitServer, 'last-byte');
    const state = await server.api.expect('GET', `/api/stacks/${stack.name}/export`);
    const before = await server.databaseProcess();
    await disk.fill();
    process.kill(before, 'SIGKILL');
    await until('the database is missed', 30_000, async () => {
      const { status, json } = await server.api.call('GET', '/api/user');
      return (status === 507 && /disk.*database is full/.test(JSON.stringify(json))) || undefined;
    });
    await disk.free();
    await until('the database serves again', 60_000, async () => {
      const { status } = await server.api.call('GET', '/api/user');
      return status === 200 || undefined;
    });
    expect(await server.databaseProcess()).not.toBe(before);
    expect(await server.api.expect('GET', `/api/stacks/${stack.name}/export`)).toEqual(state);
    // The same process all along.
    expect(server.process.output.match(/ready at/g)).toHaveLength(1);
    const run = await stack.deploy('echo "it was my turn"');
    expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  }, 240_000);
});
