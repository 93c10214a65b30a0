import {
  defaultRunSandbox,
  type FrameFromExecutor,
  harmlessText,
  maximumLineCharacters,
} from '@slipway/core';
import { describe, expect, test } from 'vitest';
import type { NewLine } from '../src/log-spool/chunk.ts';
import { LogLimit } from '../src/log-spool/log-limit.ts';
import { eventually, RunSetting } from './run-setting.ts';

const timestamp = '2026-01-01T00:00:00.000Z';
const line = (text: string): NewLine => ({ step: 1, kind: 'line', timestamp, text });
const notice = (text: string): NewLine => ({ ...line(text), kind: 'notice' });
const numbered = (count: number, length = 1_000) =>
  Array.from({ length: count }, (_, index) => line(`${index}`.padEnd(length, '.')));
const numberOf = ({ text }: { text: string }) => Number(text.split('.')[0]);

test('a log within its limit is kept as it is', () => {
  const limit = new LogLimit(1);
  const lines = numbered(400);
  expect(limit.take(lines)).toEqual(lines);
  expect(limit.end()).toEqual([]);
});

test('a log is cut at its limit, says so, and ends with how much is missing and the last lines', () => {
  const limit = new LogLimit(1);
  const kept = limit.take(numbered(5_000));
  const notice = kept.at(-1)?.text ?? '';
  expect(notice).toMatch(/has reached its limit of 1 MiB\. What follows is not kept/);
  expect(kept.slice(0, -1).map(numberOf)).toEqual(Array.from({ length: kept.length - 1 }, (_, at) => at));
  const [summary, ...last] = limit.end();
  expect(last.map(numberOf)).toEqual(
    Array.from({ length: last.length }, (_, at) => 5_000 - last.length + at),
  );
  expect(last.length).toBeGreaterThan(50);
  const missing = 5_000 - (kept.length - 1) - last.length;
  expect(summary?.text).toBe(
    `[${missing.toLocaleString('en')} lines of about 5 MiB were not kept; these are the last ones:]`,
  );
});

test('a log counts as the control plane stores it, with pictures of control characters', () => {
  const limit = new LogLimit(1);
  const progress = Array.from({ length: 2_000 }, () => line('\b'.repeat(400)));
  const lines = [...limit.take(progress), ...limit.end()];
  const bytes = lines.reduce((sum, { text }) => sum + Buffer.byteLength(harmlessText(text)) + 64, 0);
  expect(bytes).toBeGreaterThan(512 * 1024);
  expect(bytes).toBeLessThan(1024 * 1024);
  expect(lines.filter(({ text }) => text.includes('reached its limit of 1 MiB'))).toHaveLength(1);
});

test('headers of steps are kept, since readers find their way by them; a short line does not slip through', () => {
  const limit = new LogLimit(1);
  limit.take(numbered(5_000));
  const header: NewLine = { step: 2, kind: 'header', timestamp, text: 'pulumi update' };
  expect(limit.take([line(''), header, line('short')])).toEqual([header]);
  expect(limit.end().slice(-2)).toEqual([line(''), line('short')]);
});

test('what the executor leaves out is counted, and nothing from before it is among the last lines', () => {
  const limit = new LogLimit(1);
  const kept = limit.take(numbered(5_000)).length - 1;
  limit.leaveOut({ lines: 1_000_000, bytes: 100_000_000 });
  limit.take([line('a'), line('b')]);
  const [summary, ...last] = limit.end();
  expect(last).toEqual([line('a'), line('b')]);
  const mebibytes = Math.ceil(((5_000 - kept) * 1_064 + 164_000_000) / 1024 ** 2);
  expect(summary?.text).toContain(
    `[${(1_005_000 - kept).toLocaleString('en')} lines of about ${mebibytes} MiB were not kept`,
  );
});

test('a log ends with how much is missing also when its last lines are left out', () => {
  const limit = new LogLimit(1);
  const kept = limit.take(numbered(5_000)).length - 1;
  limit.leaveOut({ lines: 1_000, bytes: 1_000_000 });
  const missing = (6_000 - kept).toLocaleString('en');
  expect(limit.end()).toEqual([notice(`[${missing} lines of about 6 MiB were not kept.]`)]);
});

describe('no piece of a long line is among the last lines: it may have the end of a secret, and nobody its beginning:', () => {
  const full = 'x'.repeat(maximumLineCharacters);
  const piece = (text: string, isLast = false): NewLine => ({ ...line(text), piece: { line: 1, isLast } });

  test('one that is too long to be kept', () => {
    const limit = new LogLimit(1);
    limit.take(numbered(5_000));
    limit.take([line('before'), piece(full), piece(full), piece('end', true), line('last')]);
    const [summary, ...last] = limit.end();
    expect(summary?.text).toMatch(/these are the last ones:]$/);
    expect(last.slice(-2)).toEqual([line('before'), line('last')]);
    expect(last.filter(({ piece }) => piece)).toEqual([]);
  });

  test('one whose end comes behind lines of another stream, which stay', () => {
    const limit = new LogLimit(1);
    limit.take(numbered(5_000));
    limit.take([line('before'), piece(full), line('between'), piece('end', true), line('last')]);
    expect(limit.end().slice(-3)).toEqual([line('before'), line('between'), line('last')]);
  });

  test('one that goes on behind what the executor has left out', () => {
    const limit = new LogLimit(1);
    limit.take([...numbered(5_000), piece(full)]);
    limit.leaveOut({ lines: 1_000, bytes: 1_000_000 });
    limit.take([piece('end', true), line('last')]);
    expect(limit.end().slice(1)).toEqual([line('last')]);
  });

  test('one that ends the log and is longer than all last lines together may be; these stay', () => {
    const limit = new LogLimit(1);
    limit.take(numbered(5_000));
    const lines = ['error: this is why it failed', 'at a', 'at b'].map(line);
    limit.take([...lines, piece(full), piece(full), piece('end', true)]);
    expect(limit.end().slice(-lines.length)).toEqual(lines);
  });

  test('one in which the log reaches its limit', () => {
    const limit = new LogLimit(1);
    const kept = limit.take(Array.from({ length: 8 }, () => piece(full)));
    expect(kept.slice(0, -1)).toEqual(Array.from({ length: 7 }, () => piece(full)));
    // Words of the runner's own are no piece.
    expect(kept.at(-1)).toEqual(notice(kept.at(-1)?.text ?? ''));
    expect(limit.end()).toEqual([notice('[1 lines of about 1 MiB were not kept.]')]);
  });
});

test('the last line is kept however long it is', () => {
  const limit = new LogLimit(1);
  limit.take(numbered(5_000));
  const long = line('é'.repeat(64 * 1024));
  limit.take([long]);
  expect(limit.end().at(-1)).toEqual(long);
});

test('a run whose log was cut goes on, and the control plane gets no more than it keeps', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue({ sandbox: { ...defaultRunSandbox, logMiB: 1 } });
  await setting.start();
  const sandbox = await setting.isolation.sandbox();
  const say = (...texts: string[]) =>
    sandbox.say(
      ...texts.map(
        (text): FrameFromExecutor => ({
          type: 'log',
          step: 0,
          lines: [text],
          timestamp: Date.now(),
        }),
      ),
    );
  sandbox.say({ type: 'ready' });
  await eventually(() => sandbox.received.some((frame) => frame.type === 'job'));
  sandbox.say({ type: 'plan', steps: ['Get source'] });
  say('x');
  await eventually(() => run.text.includes('x'));
  expect(sandbox.received).not.toContainEqual({ type: 'log-full' });
  for (let piece = 0; piece < 20; piece += 1) say(...Array.from({ length: 100 }, () => 'x'.repeat(2_000)));
  await eventually(() => sandbox.received.some((frame) => frame.type === 'log-full'));
  sandbox.say({
    ...{ type: 'log', step: 0, timestamp: Date.now() },
    ...{ lines: ['error: this is why it failed'], leftOut: { lines: 1_000_000, bytes: 1e9 } },
  });
  sandbox.say({ type: 'result', outcome: 'failed', cause: 'program-error', message: 'It failed.' });
  const { lastSequence } = await eventually(() => run.finish);
  expect(lastSequence).toBe(run.lines.size);
  expect(run.text.filter((text) => text.includes('reached its limit of 1 MiB'))).toHaveLength(1);
  expect(run.text.at(-1)).toBe('error: this is why it failed');
  expect(run.text.at(-2)).toMatch(/^\[1,00\d,\d{3} lines of about 1,0\d\d MiB were not kept/);
  expect(sandbox.received.filter((frame) => frame.type === 'log-full')).toHaveLength(1);
  const bytes = run.sortedLines.reduce((sum, { text }) => sum + Buffer.byteLength(text) + 64, 0);
  expect(bytes).toBeLessThan(1024 * 1024);
});
