import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { Random } from '../../core/test/random.ts';
import { readStep } from '../src/logs/index.ts';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const timestamp = '2026-01-01T00:00:00.000Z';
const stepPage = z.object({
  lines: z.array(z.object({ line: z.string() })),
  nextOffset: z.number().optional(),
});

async function startRun(name: string): Promise<{ path: string; run: TestRun }> {
  const stack = await server.makeStack(name);
  const { id } = await deploy(server, stack);
  return { path: `${stack}/deployments/${id}/logs`, run: await runner.mustClaim() };
}

test('each page of a step is right, whatever other steps say between its lines, and in which order they came', async () => {
  const random = new Random(7);
  const { path, run } = await startRun('pages');
  await run.steps(
    ...['Setup', 'One', 'Two'].map(
      (name) => ({ name, status: 'running', startedAt: null, updatedAt: null }) as const,
    ),
  );
  const steps: string[][] = [[], [], []];
  const chunks = [];
  for (let sequence = 1; sequence < 20_000; ) {
    const step = random.below(3);
    const kind = random.below(200) === 0 ? 'header' : 'line';
    const lineCount = kind === 'header' ? 1 : 1 + random.below(random.below(20) === 0 ? 1500 : 3);
    const texts = Array.from({ length: lineCount }, (_, index) => `line ${sequence + index}`);
    if (kind === 'line') steps[step]?.push(...texts);
    chunks.push({ sequence, lineCount, step, kind, timestamp, text: texts.join('\n') });
    sequence += lineCount;
  }
  const calls = random.pieces(chunks, 300);
  for (const lines of [
    ...calls.filter((_, at) => at % 3 === 1),
    ...calls.filter((_, at) => at % 3 !== 1),
    ...calls,
  ]) {
    expect(await run.call('log', { lines })).toMatchObject({ status: 200 });
  }
  await run.finish();
  const read = async (step: number, offset: number, count: number) => {
    const query = `job=0&step=${step}&offset=${offset}&count=${count}`;
    const { lines, nextOffset } = await server.expectCall(stepPage, 200, 'GET', `${path}?${query}`);
    return { lines: lines.map(({ line }) => line.slice(0, -1)), nextOffset };
  };
  for (let round = 0; round < 60; round += 1) {
    const step = random.below(3);
    const all = steps[step] ?? [];
    const offset = random.below(all.length + 20);
    const count = 1 + random.below(499);
    expect(await read(step, offset, count)).toEqual({
      lines: all.slice(offset, offset + count),
      nextOffset: offset + count < all.length ? offset + count : undefined,
    });
  }
}, 120_000);

test('a page at the end of a long step is read as fast as one at its beginning', async () => {
  const { run } = await startRun('long');
  const lineCount = 200_000;
  for (let first = 1; first <= lineCount; first += 2000) {
    const lines = Array.from({ length: 2000 }, (_, index) => {
      return { sequence: first + index, step: 0, kind: 'line', timestamp, text: `line ${first + index}` };
    });
    expect(await run.call('log', { lines })).toMatchObject({ status: 200 });
  }
  const { db } = server.server.controlPlane;
  await sql`ANALYZE run_log_chunks`.execute(db);
  const millisecondsAt = async (offset: number) => {
    const times: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const began = performance.now();
      const { lines } = await readStep(
        db,
        { runId: run.id, isFinished: false },
        { step: 0, offset, count: 100 },
      );
      times.push(performance.now() - began);
      expect(lines[0]?.line).toBe(`line ${offset + 1}\n`);
    }
    return Math.min(...times);
  };
  // In the middle of a block, which both have to read.
  const beginning = await millisecondsAt(1_000);
  const end = await millisecondsAt(lineCount - 1_000);
  console.log(`${end.toFixed(1)} ms at the end, ${beginning.toFixed(1)} ms at the beginning`);
  expect(end / beginning).toBeLessThan(4);
  await run.finish();
}, 120_000);
