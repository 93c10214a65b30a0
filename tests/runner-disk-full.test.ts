import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SmallDisk } from '../packages/runner/src/testing/small-disk.ts';
import { numbersIn, upTo } from './testing/chatter.ts';
import { SeparateSlipway } from './testing/separate-slipway.ts';

/** A runner whose own disk can be filled; the control plane has another. */
let disk: SmallDisk;
let slipway: SeparateSlipway;

const diskMiB = 1200;

beforeAll(async () => {
  disk = await SmallDisk.mount(diskMiB);
  slipway = await SeparateSlipway.start({
    runnerDirectory: join(disk.path, 'data'),
    runnerFlags: [
      ...['--volume-gib', '1', '--reserve-disk-gib', '1', '--overcommit-disk', '4'],
      ...['--dependency-cache-gib', '0'],
    ],
  });
}, 180_000);

afterAll(async () => {
  await slipway?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
}, 60_000);

test('below its reserve a runner claims nothing and says why; with room again it takes what waits', async () => {
  await disk.fill(900);
  // It sees it with its next claim.
  await slipway.runner.says(/Not claiming runs of the default size: 1 GiB of disk are needed and 0 are left/);
  const stack = await slipway.makeStack('waits');
  const run = await stack.deploy('echo "it was my turn"');
  expect(await run.run()).toMatchObject({ state: 'queued' });
  await disk.free();
  await slipway.runner.says(/There is room for a run again/);
  expect(await run.finished()).toMatchObject({ outcome: 'succeeded' });
  expect(await run.log()).toContain('it was my turn');
}, 120_000);

test('full in the middle of a run: lines wait for room; when there is none the run ends, and the runner goes on', async () => {
  const stack = await slipway.makeStack('fills');
  const run = await stack.deploy('n=0; while :; do n=$((n + 1)); echo "line $n"; sleep 0.02; done');
  await run.logged(/^line 50$/);
  await disk.fill();
  await slipway.runner.says(/the log of a run waits for room/);
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
  expect(await readdir(slipway.spools)).toEqual([]);
}, 180_000);
