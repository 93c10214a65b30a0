import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { git } from '../packages/executor/test/testing/git-server.ts';
import { SmallDisk } from '../packages/runner/src/testing/small-disk.ts';
import { until } from './testing/api.ts';
import { chatter, numbersIn, upTo } from './testing/chatter.ts';
import { type PulumiUser, pulumiUser, writeProject } from './testing/pulumi-user.ts';
import { SeparateSlipway } from './testing/separate-slipway.ts';

/** The database has a disk that can be filled. */
let disk: SmallDisk;
let slipway: SeparateSlipway;
let user: PulumiUser;

beforeAll(async () => {
  disk = await SmallDisk.mount(500);
  slipway = await SeparateSlipway.start({ serverDirectory: join(disk.path, 'data') });
  const { directory, api, adminToken } = slipway;
  user = await pulumiUser(join(directory, 'home'), { url: api.url, token: adminToken });
}, 180_000);

afterAll(async () => {
  await slipway?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
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
  const folder = join(slipway.directory, name);
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
  const stack = await slipway.makeStack('chatty');
  const run = await stack.deploy(chatter(24_000));
  await run.logged(/^line 3000$/);
  const { folder, gate } = await cellByCell('killed', 6);
  const up = user.start(folder, 'up', '--yes', '--skip-preview').finished;
  for (let n = 1; n <= 6; n += 1) {
    await reached(gate(n));
    // In the middle of the creation whose end is to be written next.
    if (n % 2 === 0) process.kill(await slipway.databaseProcess(), 'SIGKILL');
    await writeFile(gate(n), '');
  }
  const { code, stdout, stderr } = await up;
  expect(`${stdout}${stderr}`).toContain('7 created');
  expect(code).toBe(0);
  expect(await cellsOf(folder)).toEqual(upTo(6).map((n) => `cell-${n}`));
  expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(numbersIn(await run.log())).toEqual(upTo(24_000));
  expect(slipway.server.output).toContain('The database has ended; starting it again');
  expect(slipway.server.output).toContain('The database serves again');
}, 240_000);

/** A command that waits until the repository of the run has this branch. */
const untilBranch = (branch: string) =>
  `until git ls-remote --exit-code origin ${branch} > /dev/null; do sleep 0.2; done`;
const makeBranch = (branch: string) => git(join(slipway.directory, 'git', 'empty'), 'branch', branch);

/** What the runner keeps of logs until it is stored. */
const spooled = () =>
  readdirSync(slipway.spools, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8'))
    .join('');

describe('the disk of the database is full', () => {
  test('state is refused with the disk’s name, lines wait with the runner, reading goes on; with room all goes on', async () => {
    const stack = await slipway.makeStack('waits');
    const { folder, gate } = await cellByCell('full', 3);
    // It writes while the disk is full, and its update, which needs room, begins when there is some again.
    const run = await stack.deploy(untilBranch('is-full'), chatter(15_000), untilBranch('has-room'));
    await run.logged(/its job was delivered/);
    const up = user.start(folder, 'up', '--yes', '--skip-preview').finished;
    await reached(gate(1));
    await writeFile(gate(1), '');
    await reached(gate(2));
    const acknowledged = await run.log();
    await disk.fill(40);
    await makeBranch('is-full');
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
      () => /disk of the control plane's database is full/.test(slipway.server.output) || undefined,
    );

    await until(
      'all lines wait with the runner',
      30_000,
      () => spooled().includes('line 15000') || undefined,
    );
    expect(numbersIn(await run.log())).toEqual([]);
    await disk.free();
    await makeBranch('has-room');
    expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
    expect(numbersIn(await run.log())).toEqual(upTo(15_000));
    await writeFile(gate(3), '');
    await user.expectRun(folder, 'up', '--yes', '--skip-preview');
    expect(await cellsOf(folder)).toEqual(['cell-1', 'cell-2', 'cell-3']);
  }, 240_000);

  test('to the last byte, so that it cannot even start again: it is named, and with room all is there again', async () => {
    const stack = await slipway.makeStack('last-byte');
    const state = await slipway.api.expect('GET', `/api/stacks/${stack.name}/export`);
    const before = await slipway.databaseProcess();
    await disk.fill();
    process.kill(before, 'SIGKILL');
    await until('the database is missed', 30_000, async () => {
      const { status, json } = await slipway.api.call('GET', '/api/user');
      return (status === 507 && /disk.*database is full/.test(JSON.stringify(json))) || undefined;
    });
    await disk.free();
    await until('the database serves again', 60_000, async () => {
      const { status } = await slipway.api.call('GET', '/api/user');
      return status === 200 || undefined;
    });
    expect(await slipway.databaseProcess()).not.toBe(before);
    expect(await slipway.api.expect('GET', `/api/stacks/${stack.name}/export`)).toEqual(state);
    // The same process all along.
    expect(slipway.server.output.match(/ready at/g)).toHaveLength(1);
    const run = await stack.deploy('echo "it was my turn"');
    expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  }, 240_000);
});
