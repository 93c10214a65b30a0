import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultLeaseSeconds, linesOf, logChunk } from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, until } from './testing/api.ts';
import { chatter, numbersIn, upTo } from './testing/chatter.ts';
import type { DeployableStack } from './testing/deployable-stack.ts';
import { SeparateSlipway } from './testing/separate-slipway.ts';

/** Each part of Slipway is killed in the middle of a chatty run. */
let slipway: SeparateSlipway;
const timeoutMilliseconds = 240_000;

beforeAll(async () => {
  slipway = await SeparateSlipway.start();
}, 120_000);

afterAll(() => slipway?.[Symbol.asyncDispose](), 60_000);

let stacks = 0;
async function deployChatter(seconds: number): Promise<{ stack: DeployableStack; run: Deployment }> {
  stacks += 1;
  const stack = await slipway.makeStack(`stack-${stacks}`);
  const run = await stack.deploy(chatter(seconds * 3000));
  await run.logged(/^line 3000$/);
  return { stack, run };
}

/** How many numbered lines a log has, of which each must be there once, in order. */
function linesIn(log: readonly string[]): number {
  const numbers = numbersIn(log);
  expect(numbers).toEqual(upTo(numbers.length));
  return numbers.length;
}

/** The last of the numbered lines that lie in the spools of the runner; 0 without one. */
function lastSpooled(): number {
  const files = readdirSync(slipway.spools, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes('segment-'),
  );
  // What follows the last newline is a chunk that is being written, or never was.
  const chunks = files
    .flatMap((name) => readFileSync(join(slipway.spools, name), 'utf8').split('\n').slice(0, -1))
    .map((json) => logChunk.parse(JSON.parse(json)));
  return numbersIn(chunks.flatMap(linesOf)).reduce((last, number) => Math.max(last, number), 0);
}

test(
  'kill -9 of the runner loses no line that it had read; the next one delivers them, and then frees the stack',
  async () => {
    const { stack, run } = await deployChatter(60);
    const waiting = await stack.deploy('echo "it was my turn"');
    await slipway.killRunner();
    const killedAt = performance.now();
    const spooled = lastSpooled();
    expect(spooled).toBeGreaterThan(3000);
    await slipway.startRunner();
    expect(await run.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    const log = await run.log();
    expect(linesIn(log)).toBeGreaterThanOrEqual(spooled);
    expect(log.at(-1)).toMatch(/^The runner gave no sign of life any more/);
    // Sooner than its lease would have ended.
    expect(performance.now() - killedAt).toBeLessThan(defaultLeaseSeconds * 1000);
    expect(await waiting.finished()).toMatchObject({ outcome: 'succeeded' });
    expect(await waiting.log()).toContain('it was my turn');
    expect(readdirSync(slipway.spools)).toEqual([]);
  },
  timeoutMilliseconds,
);

test(
  'kill -9 of the control plane and its database ends no run and loses no line',
  async () => {
    const { run } = await deployChatter(12);
    await slipway.killServer();
    await slipway.startServer();
    const again = run.through(slipway.api);
    await again.logged(/^line 36000$/);
    expect(linesIn(await again.log())).toBe(36_000);
  },
  timeoutMilliseconds,
);

test(
  'a control plane that was away for longer than the lease gets every line that the runner had read',
  async () => {
    await slipway.killServer();
    await slipway.startServer('--lease-seconds', '6');
    const { run } = await deployChatter(60);
    await slipway.killServer();
    await until(
      'the run was given up',
      60_000,
      () => /could not be reported/.test(slipway.runner.output) || undefined,
    );
    const spooled = lastSpooled();
    // It read on for the seconds that were left of its lease.
    expect(spooled).toBeGreaterThan(3000 * 3);
    await slipway.startServer();
    const again = run.through(slipway.api);
    expect(await again.finished()).toMatchObject({ outcome: 'failed', cause: 'runner-lost' });
    await until(
      'the spool was delivered',
      60_000,
      () => readdirSync(slipway.spools).length === 0 || undefined,
    );
    const log = await again.log();
    expect(linesIn(log)).toBeGreaterThanOrEqual(spooled);
    expect(log.at(-1)).toMatch(/^The runner gave no sign of life any more/);
  },
  timeoutMilliseconds,
);
