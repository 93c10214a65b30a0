import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { deploy, TestRunner } from './deployments-server.ts';
import { server, useServer } from './use-server.ts';

const stackCount = 100;
const runCount = 1000;
const runnerCount = 6;
const seed = 20261124;

useServer();

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function seededRandom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test(`${runCount} runs of ${stackCount} stacks, claimed by ${runnerCount} runners: in order, never two of a stack at once`, async () => {
  const random = seededRandom(seed);
  const stacks: string[] = [];
  for (let index = 0; index < stackCount; index += 1) stacks.push(await server.makeStack(`scale-${index}`));
  // The first one comes over the API, so that the statement below has a deployment to copy.
  const { id } = await deploy(server, stacks[0] ?? '');
  await enqueueCopies(id, random);

  const out = new Set<string>();
  const lastNumber = new Map<string, number>();
  const violations: string[] = [];
  let finished = 0;
  const execute = async (runner: TestRunner): Promise<void> => {
    while (finished < runCount) {
      const run = await runner.claim({ waitSeconds: 1 });
      if (!run) continue;
      const { stack, deployment } = run.claim.run;
      if (out.has(stack.stack)) violations.push(`two runs of ${stack.stack} at once`);
      out.add(stack.stack);
      const before = lastNumber.get(stack.stack) ?? 0;
      if (deployment.version !== before + 1)
        violations.push(`${stack.stack}: ${deployment.version} after ${before}`);
      lastNumber.set(stack.stack, deployment.version);
      if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 10));
      out.delete(stack.stack);
      await run.finish();
      finished += 1;
    }
  };
  const startedAt = performance.now();
  const runners = await Promise.all(Array.from({ length: runnerCount }, () => TestRunner.register(server)));
  await Promise.all(runners.map(execute));
  console.log(`${runCount} runs claimed and finished in ${Math.round(performance.now() - startedAt)} ms`);

  expect(violations).toEqual([]);
  expect([...lastNumber.values()].reduce((sum, number) => sum + number, 0)).toBe(runCount);
}, 180_000);

/** Queues copies of a deployment over all stacks, at random, in one transaction: what the API does, without HTTP. */
async function enqueueCopies(id: string, random: () => number) {
  const { db } = server.server.controlPlane;
  const { rows: stacks } = await sql<{ id: string }>`SELECT id FROM stacks ORDER BY name`.execute(db);
  await db.transaction().execute(async (tx) => {
    for (let count = 1; count < runCount; count += 1) {
      const stackId = stacks[Math.floor(random() * stacks.length)]?.id;
      await sql`
      WITH lane AS (
        INSERT INTO lanes (id, last_number) VALUES (${stackId}, 1)
        ON CONFLICT (id) DO UPDATE SET last_number = lanes.last_number + 1 RETURNING id, last_number
      ), run AS (
        INSERT INTO runs (workflow, lane_id, number, pool_id, platform)
        SELECT workflow, lane.id, lane.last_number, pool_id, platform FROM runs, lane WHERE runs.id = ${id}
        RETURNING id, lane_id, number
      )
      INSERT INTO deployments (id, stack_id, version, operation, settings, initiator)
      SELECT run.id, run.lane_id, run.number, operation, settings, initiator FROM deployments, run
      WHERE deployments.id = ${id}`.execute(tx);
    }
  });
}
