import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { deploy, startTestServer, TestRunner } from './deployments-server.ts';

const chunkLines = 320;
const batchChunks = 15;
/** The first ones are slow: nothing is compiled yet. */
const warmUpBatches = 10;
const batches = 40;
/** Measured: 0.16 to 0.27. With a row for each line it would be 0.06. */
const leastShare = 0.1;

test('a flood is stored at no small share of the rate of a plain INSERT of the same bytes', async () => {
  const server = await startTestServer();
  const { db } = server.server.controlPlane;
  await deploy(server, await server.makeStack('flood'));
  const run = await (await TestRunner.register(server)).mustClaim();
  await sql`CREATE TABLE plain_texts (id serial PRIMARY KEY, text text NOT NULL)`.execute(db);
  await sql`ALTER TABLE plain_texts ALTER COLUMN text SET STORAGE EXTERNAL`.execute(db);
  const text = Array.from({ length: chunkLines }, (_, index) => `line ${index}`.padEnd(99, '.')).join('\n');
  const timestamp = new Date().toISOString();
  const milliseconds = { log: 0, plain: 0 };
  for (let batch = -warmUpBatches; batch < batches; batch += 1) {
    const first = 1 + (batch + warmUpBatches) * batchChunks * chunkLines;
    const lines = Array.from({ length: batchChunks }, (_, index) => {
      const sequence = first + index * chunkLines;
      return { sequence, lineCount: chunkLines, step: 0, kind: 'line', timestamp, text };
    });
    const began = performance.now();
    expect(await run.call('log', { lines })).toMatchObject({ status: 200 });
    const beganPlain = performance.now();
    const rows = sql.join(lines.map((chunk) => sql`(${chunk.text})`));
    await sql`INSERT INTO plain_texts (text) VALUES ${rows}`.execute(db);
    if (batch < 0) continue;
    milliseconds.log += beganPlain - began;
    milliseconds.plain += performance.now() - beganPlain;
  }
  const share = milliseconds.plain / milliseconds.log;
  const rate = (batches * batchChunks * text.length) / 1000 / milliseconds.log;
  console.log(`${rate.toFixed(1)} MB/s, ${share.toFixed(2)} of a plain INSERT`);
  expect(share).toBeGreaterThan(leastShare);
  await server.stop();
}, 120_000);
