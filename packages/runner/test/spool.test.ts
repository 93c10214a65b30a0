import { appendFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  encodeFrame,
  type FrameFromExecutor,
  type LogChunk,
  type LogLine,
  linesOf,
  logChunk,
} from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import type { NewLine } from '../src/log-spool/chunk.ts';
import { type LogBatch, LogSpool } from '../src/log-spool/log-spool.ts';
import { SpoolFolder } from '../src/log-spool/spool-folder.ts';
import { SpoolSegments } from '../src/log-spool/spool-segments.ts';
import { eventually, RunSetting } from './run-setting.ts';
import { usedBytes } from './used-bytes.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-spool-test-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const never = new AbortController().signal;
const line = (text: string): NewLine => ({
  step: 0,
  kind: 'line',
  timestamp: '2026-01-01T00:00:00.000Z',
  text,
});

const chunksIn = (batch: LogBatch | undefined): LogChunk[] =>
  z.array(logChunk).parse(JSON.parse(`[${batch?.json}]`));
const linesIn = (batch: LogBatch | undefined): LogLine[] =>
  chunksIn(batch).flatMap(({ lineCount, text, sequence, ...chunk }) =>
    linesOf({ lineCount, text }).map((each, index) => ({
      ...{ sequence: sequence + index, ...chunk, text: each },
    })),
  );

/** The folder of a spool of its own. */
const newFolder = () => mkdtemp(join(directory, 'spool-'));
const filesIn = async (folder: string) =>
  Promise.all((await readdir(folder)).map((name) => stat(join(folder, name))));
const bytesIn = async (folder: string) => (await filesIn(folder)).reduce((sum, { size }) => sum + size, 0);

test('the spool gives back what was appended, in order, and keeps no more than its capacity in files', async () => {
  const folder = await newFolder();
  const file = new SpoolSegments(folder, 1_000);
  let appended = '';
  let released = '';
  for (let round = 0; round < 50; round += 1) {
    const piece = `${round}:`.padEnd(337, String.fromCharCode(97 + (round % 26)));
    await file.append(Buffer.from(piece));
    appended += piece;
    expect(await bytesIn(folder)).toBeLessThanOrEqual(1_000);
    const target = Buffer.alloc(round % 3 === 0 ? 200 : 10_000);
    const count = await file.peek(target);
    released += target.toString('utf8', 0, count);
    file.release(count);
  }
  const rest = Buffer.alloc(10_000);
  released += rest.toString('utf8', 0, await file.peek(rest));
  expect(released).toBe(appended);
  file.close();
});

test('what is appended while all that is older is released stays in the spool', async () => {
  const folder = await newFolder();
  const file = new SpoolSegments(folder, 8 * 1024 * 1024);
  await file.append(Buffer.alloc(1.5 * 1024 * 1024, 'a'));
  const appending = file.append(Buffer.from('the newest'));
  file.release(file.usedBytes);
  await appending;
  const target = Buffer.alloc(100);
  expect(target.toString('utf8', 0, await file.peek(target))).toBe('the newest');
  expect(file.usedBytes).toBe('the newest'.length);
  file.close();
});

test('a spool that was left behind gives back every line that was not acknowledged, in order', async () => {
  const folder = await newFolder();
  const before = new LogSpool(folder);
  const texts = Array.from({ length: 40_000 }, (_, index) => `line ${index}`.padEnd(200, '.'));
  await before.append(texts.map(line), never);
  for (let count = 0; count < 8; count += 1) {
    const batch = await before.nextBatch();
    if (batch) before.acknowledge(batch);
  }
  // Killed in the middle of a write: what is left of that is no line.
  before.close();
  const [last = ''] = (await readdir(folder)).sort().slice(-1);
  await appendFile(join(folder, last), '{"sequence":40001,"step":0,"ki');

  const after = new LogSpool(folder);
  const found = new Map<number, string>();
  for (;;) {
    const batch = await after.nextBatch();
    if (!batch) break;
    for (const { sequence, text } of linesIn(batch)) found.set(sequence, text);
    after.acknowledge(batch);
  }
  const [first = 0] = found.keys();
  // Some that were acknowledged may come again: those that lie in the same file as the next one.
  expect(first).toBeGreaterThan(1);
  expect([...found]).toEqual(texts.map((text, index) => [index + 1, text] as const).slice(first - 1));
  after.close();
});

test('what is spooled can be read by its owner alone', async () => {
  const run = { runId: 'run', serverUrl: 'http://localhost', deliveryToken: 'token' };
  const spool = SpoolFolder.create(directory, run);
  await spool.lines.append([line('a line that nobody else may read')], never);
  expect((await stat(spool.path)).mode & 0o777).toBe(0o700);
  const files = await filesIn(spool.path);
  expect(files.map(({ mode }) => mode & 0o777)).toEqual([0o600, 0o600]);
  spool.remove();
  expect(await readdir(join(directory, 'log-spools'))).toEqual([]);
});

test('lines that were told at once are sent as one chunk, but for those with a newline inside and pieces of longer ones', async () => {
  const spool = new LogSpool(await newFolder());
  const later = { ...line('d'), timestamp: '2026-01-01T00:00:00.001Z' };
  const lines = [
    ...[line('a'), line(''), { ...line('c'), kind: 'header' } as const, later, { ...later, step: 1 }],
    ...[line('e\nf'), line('g'), line('h'), line('i\n')],
    ...[{ ...line('j'), piece: { line: 1, isLast: true } }, line('k'), line('l')],
  ];
  await spool.append(lines, never);
  const batch = await spool.nextBatch();
  const chunks = chunksIn(batch).map(({ lineCount, text }) => [lineCount, text]);
  expect(chunks).toEqual([
    ...[
      [2, 'a\n'],
      [1, 'c'],
      [1, 'd'],
      [1, 'd'],
      [1, 'e\nf'],
    ],
    ...[
      [2, 'g\nh'],
      [1, 'i\n'],
      [1, 'j'],
      [2, 'k\nl'],
    ],
  ]);
  expect(linesIn(batch)).toEqual(lines.map((each, index) => ({ sequence: index + 1, ...each })));
  spool.close();
});

test('a batch has at most 500 chunks and 512 KiB, and is the same until it is acknowledged', async () => {
  const spool = new LogSpool(await newFolder());
  const at = (milliseconds: number) => new Date(milliseconds).toISOString();
  await spool.append(
    Array.from({ length: 2_500 }, (_, index) => ({ ...line(`line ${index}`), timestamp: at(index) })),
    never,
  );
  const before = String((await spool.nextBatch())?.json);
  const first = await spool.nextBatch();
  if (!first) throw new Error('no batch');
  expect(first.json.toString()).toBe(before);
  expect(linesIn(first).map(({ sequence }) => sequence)).toEqual(
    Array.from({ length: 500 }, (_, index) => index + 1),
  );
  spool.acknowledge(first);
  const rest = await spool.nextBatch();
  if (!rest) throw new Error('no batch');
  expect(linesIn(rest)[0]?.sequence).toBe(501);
  spool.acknowledge(rest);
  for (let batch = await spool.nextBatch(); batch; batch = await spool.nextBatch()) spool.acknowledge(batch);
  expect(spool.isEmpty).toBe(true);

  const long = 'x'.repeat(10_000);
  await spool.append(
    Array.from({ length: 120 }, () => line(long)),
    never,
  );
  for (let batch = await spool.nextBatch(); batch; batch = await spool.nextBatch()) {
    expect(batch.bytes).toBeLessThanOrEqual(512 * 1024);
    spool.acknowledge(batch);
  }

  // The worst line that a frame may hold: each character is six bytes of JSON.
  const worst = '\u0001'.repeat(64 * 1024);
  await spool.append([line(worst), line(worst), line(worst)], never);
  const large = await spool.nextBatch();
  expect(large?.json.length).toBeLessThan(1024 * 1024);
  expect(linesIn(large)).toHaveLength(1);
  spool.close();
});

test('a full spool takes no line until one is acknowledged, and numbers have no gap when it is given up', async () => {
  const spool = new LogSpool(await newFolder(), 4_096);
  const stop = new AbortController();
  await spool.append([line('x'.repeat(3_000))], never);
  let taken = false;
  const waiting = spool.append([line('y'.repeat(3_000))], never).then(() => {
    taken = true;
  });
  const givenUp = spool.append([line('z'.repeat(3_000))], stop.signal);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(taken).toBe(false);
  expect(spool.lastSequence).toBe(1);
  const batch = await spool.nextBatch();
  if (batch) spool.acknowledge(batch);
  await waiting;
  stop.abort(new Error('given up'));
  await expect(givenUp).rejects.toThrow('given up');
  expect(spool.lastSequence).toBe(2);
  spool.close();
});

test('a run whose log the control plane does not take is held up, renews its lease, loses nothing and stays small', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 0.2;
  const run = setting.server.queue();
  await setting.start();
  const sandbox = await setting.sandboxAtWork(['flood']);
  await eventually(() => run.text.length > 4);

  setting.server.refuse('log', 503);
  const before = await usedBytes();
  const text = 'x'.repeat(30_000);
  let said = 0;
  let heldUp = false;
  while (!heldUp) {
    const frame: FrameFromExecutor = {
      type: 'log',
      step: 0,
      timestamp: Date.now(),
      lines: [`${said} ${text}`],
    };
    said += 1;
    const takenAtOnce = sandbox.write(encodeFrame(frame));
    if (!takenAtOnce) heldUp = !(await within(sandbox.drained(), 1_500));
  }
  const spooledBytes = said * text.length;
  expect(spooledBytes).toBeGreaterThan(60 * 1024 * 1024);
  expect(spooledBytes).toBeLessThan(70 * 1024 * 1024);
  const beats = run.count('heartbeat');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(run.count('heartbeat') - beats).toBeGreaterThanOrEqual(3);
  expect((await usedBytes()) - before).toBeLessThan(10 * 1000 * 1000);

  setting.server.refuse('log', undefined);
  sandbox.say({ type: 'result', outcome: 'succeeded' });
  expect((await eventually(() => run.finish)).outcome).toBe('succeeded');
  const numbers = run.text.filter((each) => each.endsWith('x')).map((each) => Number(each.split(' ')[0]));
  expect(numbers).toEqual(Array.from({ length: said }, (_, index) => index));
});

function within(work: Promise<void>, milliseconds: number): Promise<boolean> {
  return Promise.race([
    work.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), milliseconds)),
  ]);
}
