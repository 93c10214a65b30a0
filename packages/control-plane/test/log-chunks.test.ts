import { sql } from 'kysely';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { deploy, type TestRun } from './deployments-server.ts';
import { runner, server, useServerAndRunner } from './use-server.ts';

useServerAndRunner();

const timestamp = '2026-01-01T00:00:00.000Z';
const numbered = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => `line ${first + index}`);
/** The lines with the numbers from `first` to `last`, told at once. */
const chunk = (first: number, last: number, texts = numbered(first, last)) => {
  const lineCount = last - first + 1;
  return { sequence: first, lineCount, step: 0, kind: 'line', timestamp, text: texts.join('\n') } as const;
};

async function startRun(name: string, settings: object = {}): Promise<{ path: string; run: TestRun }> {
  const stack = await server.makeStack(name);
  const { id } = await deploy(server, stack, settings);
  return { path: `${stack}/deployments/${id}/logs`, run: await runner.mustClaim() };
}

const page = z.object({ lines: z.array(z.object({ line: z.string() })), nextToken: z.string().optional() });
/** The pages of a log, to its end or to where nothing new comes. */
async function pagesOf(path: string): Promise<string[][]> {
  const pages: string[][] = [];
  let token: string | undefined;
  do {
    const { lines, nextToken } = await server.expectCall(
      ...[page, 200, 'GET', `${path}${token ? `?continuationToken=${token}` : ''}`],
    );
    if (nextToken === token) break;
    pages.push(lines.map(({ line }) => line.slice(0, -1)));
    token = nextToken;
  } while (token);
  return pages;
}

const chunksOf = async ({ id }: TestRun) =>
  (
    await sql<{ first: number; count: number }>`
      SELECT first_sequence AS first, line_count AS count FROM run_log_chunks
      WHERE run_id = ${id} ORDER BY first_sequence`.execute(server.server.controlPlane.db)
  ).rows.map(({ first, count }) => [first, count]);

test('lines that were told at once are stored together, and read by the line', async () => {
  const { path, run } = await startRun('together');
  await run.call('log', { lines: [chunk(1, 1200), chunk(1201, 1300)] });
  expect(await chunksOf(run)).toEqual([
    [1, 1200],
    [1201, 100],
  ]);
  expect((await pagesOf(path)).map(({ length }) => length)).toEqual([500, 500, 300]);
  expect((await pagesOf(path)).flat()).toEqual(numbered(1, 1300));
  const step = z.object({
    lines: z.array(z.object({ line: z.string() })),
    nextOffset: z.number().optional(),
  });
  const read = async (offset: number, count: number) => {
    const query = `job=0&step=0&offset=${offset}&count=${count}`;
    const { lines, nextOffset } = await server.expectCall(step, 200, 'GET', `${path}?${query}`);
    return { lines: lines.map(({ line }) => line.slice(0, -1)), nextOffset };
  };
  expect(await read(0, 3)).toEqual({ lines: numbered(1, 3), nextOffset: 3 });
  expect(await read(1198, 4)).toEqual({ lines: numbered(1199, 1202), nextOffset: 1202 });
  await run.finish();
  expect(await read(1290, 10)).toEqual({ lines: numbered(1291, 1300), nextOffset: undefined });
  expect(await read(1290, 9)).toEqual({ lines: numbered(1291, 1299), nextOffset: 1299 });
  expect((await pagesOf(path)).flat()).toEqual(numbered(1, 1300));
});

test('a number is stored once, however the lines around it are sent again', async () => {
  const { path, run } = await startRun('again');
  await run.call('log', { lines: [chunk(3, 5), chunk(9, 10)] });
  const other = (first: number, last: number) =>
    chunk(
      first,
      last,
      numbered(first, last).map((text) => `${text} again`),
    );
  await run.call('log', { lines: [chunk(12, 12), other(4, 9), other(10, 10), chunk(11, 13)] });
  await run.call('log', { lines: [chunk(1, 2), other(1, 13)] });
  expect((await pagesOf(path)).flat()).toEqual([
    ...numbered(1, 5),
    ...numbered(6, 8).map((text) => `${text} again`),
    ...numbered(9, 13),
  ]);
  const { rows } = await sql<{
    bytes: number;
  }>`SELECT log_bytes AS bytes FROM runs WHERE id = ${run.id}`.execute(server.server.controlPlane.db);
  const texts = (await pagesOf(path)).flat();
  expect(rows[0]?.bytes).toBe(texts.join('').length + texts.length * 64);
  await run.finish();
});

test('a line may hold anything, and is one line', async () => {
  const { path, run } = await startRun('anything');
  const texts = ['', 'a\u001eb', '"{}\\,', '\u001b[1mä\u{1F600}', ''];
  await run.call('log', { lines: [chunk(1, 5, texts), chunk(6, 6, ['a\nb']), chunk(7, 8, ['', ''])] });
  const shown = texts.map((text) => text.replace('\u001e', '␞'));
  expect((await pagesOf(path)).flat()).toEqual([...shown, 'a\nb', '', '']);
  await run.finish();
});

test('a secret of several lines is hidden line by line, and no line is lost with it', async () => {
  const secret = 'the first of it\nand its second';
  const { path, run } = await startRun('several-lines', {
    operationContext: { environmentVariables: { KEY: { secret } } },
  });
  await run.job();
  const [first = '', second = ''] = secret.split('\n');
  const texts = ['before', first, second, 'between', first, 'behind'];
  await run.call('log', { lines: [chunk(1, 6, texts)] });
  expect((await pagesOf(path)).flat()).toEqual(['before', '***', '***', 'between', '***', 'behind']);
  await run.finish();
});

test('a page has about a mebibyte, also where chunks are large', async () => {
  const { path, run } = await startRun('large');
  const text = 'x'.repeat(40_000);
  for (let first = 1; first < 100; first += 10)
    await run.call('log', { lines: [chunk(first, first + 9, Array(10).fill(text))] });
  await run.finish();
  const pages = await pagesOf(path);
  expect(pages.flat()).toEqual(Array(100).fill(text));
  expect(pages.length).toBeGreaterThanOrEqual(4);
});

test('a chunk has a bounded number of lines, and none of them a number that is too high', async () => {
  const { run } = await startRun('bounds');
  for (const lines of [
    [chunk(1, 2001)],
    [{ ...chunk(1, 3), sequence: 899_999_998 }],
    [{ ...chunk(1, 3), lineCount: 2 }],
    [{ ...chunk(1, 3), lineCount: 4 }],
    [{ ...chunk(1, 3), lineCount: 0 }],
  ])
    expect(await run.call('log', { lines })).toMatchObject({ status: 400 });
  expect(await run.call('log', { lines: [chunk(1, 2000)] })).toMatchObject({ status: 200 });
  await run.finish();
});

test('a log from before chunks is read as it was', async () => {
  const { path, run } = await startRun('before-chunks');
  await run.call('log', { lines: [chunk(1, 2)] });
  // Such rows hold what they were given: the text of one line, whatever is in it.
  await sql`
    INSERT INTO run_log_chunks (run_id, first_sequence, step, kind, logged_at, text)
    VALUES (${run.id}, 3, 0, 'line', now(), ${'old\nline'})`.execute(server.server.controlPlane.db);
  await run.call('log', { lines: [chunk(4, 5)] });
  expect((await pagesOf(path)).flat()).toEqual(['line 1', 'line 2', 'old\nline', 'line 4', 'line 5']);
  await run.finish();
});
