import type { LeftOut } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ExecutorProcess } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

/** What is sent of a command's output when the log is full before it begins. */
async function runWithFullLog(
  script: string,
  secrets: readonly string[] = [],
): Promise<{ lines: string[]; leftOut: LeftOut; bareGaps: number; message: string | undefined }> {
  await using executor = new ExecutorProcess();
  executor.send({ type: 'log-full' });
  executor.send(program.frame({ preRunCommands: [`echo begin; ${script}; exit 9`], secrets: [...secrets] }));
  const { result } = await executor.record();
  const frames = executor.frames.filter((frame) => frame.type === 'log');
  const at = executor.lines.indexOf('begin');
  const sum = (key: keyof LeftOut) => frames.reduce((count, { leftOut }) => count + (leftOut?.[key] ?? 0), 0);
  return {
    lines: at < 0 ? executor.lines.filter((line) => line !== 'begin') : executor.lines.slice(at + 1),
    leftOut: { lines: sum('lines'), bytes: sum('bytes') },
    bareGaps: frames.filter((frame) => frame.leftOut && frame.lines.length === 0).length,
    message: result.message,
  };
}

test('all is sent that fits between the last lines of a log', async () => {
  const { lines, leftOut } = await runWithFullLog('seq 60; echo error >&2; printf last');
  expect(lines.slice(0, 60)).toEqual(Array.from({ length: 60 }, (_, index) => `${index + 1}`));
  expect(lines.slice(60).toSorted()).toEqual(['error', 'last']);
  expect(leftOut).toEqual({ lines: 0, bytes: 0 });
});

test('of more, each line is sent or counted, and the last ones are sent as they are, in their order', async () => {
  const count = 2_000_000;
  const { lines, leftOut, bareGaps } = await runWithFullLog(`seq -f '%.0f${'.'.repeat(80)}' ${count}`);
  const numbers = lines.filter((line) => line.endsWith('.....')).map((line) => Number.parseInt(line, 10));
  const last = numbers.slice(-100);
  expect(last).toEqual(Array.from({ length: 100 }, (_, index) => count - 99 + index));
  // Whoever hears of a gap forgets the lines before it: the sandbox may die before another frame brings those behind it.
  expect(bareGaps).toBe(0);
  // Besides, there are `begin` and what the step before has said.
  expect(numbers.length).toBeLessThan(count / 20);
  expect(leftOut.lines + numbers.length - count).toBeGreaterThanOrEqual(0);
  expect(leftOut.lines + numbers.length - count).toBeLessThanOrEqual(1);
}, 60_000);

test('what another stream says in the middle of a flood is sent, and ends where it was said', async () => {
  const { lines } = await runWithFullLog(
    'yes | head -c 20000000; echo "the reason" >&2; sleep 0.05; echo behind',
  );
  expect(lines.slice(-2)).toEqual(['the reason', 'behind']);
}, 60_000);

test('of a long line whose beginning was left out nothing is sent: its end may be that of a secret', async () => {
  const { lines } = await runWithFullLog("yes | tr -d '\\n' | head -c 3000000; printf 'end\\nnext'");
  expect(lines.at(-1)).toBe('next');
  expect(lines.filter((line) => line.endsWith('end'))).toEqual([]);
}, 60_000);

describe('secrets never leave in what is sent of a flood', () => {
  const short = 'hunter2-canary';
  const long = Array.from({ length: 300 }, (_, index) => `canary-${index}`).join('/');

  test.each([
    ['short', short],
    ['longer than what is looked for at once', long],
    ['of several lines', long.replaceAll('/', '\n')],
  ])(
    '%s',
    async (_kind, secret) => {
      const flood = `yes '${secret}' | head -n ${Math.floor(30e6 / secret.length) * secret.split('\n').length}`;
      const { lines } = await runWithFullLog(flood, [secret]);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.some((line) => line.includes('***'))).toBe(true);
      expect(lines.filter((line) => line.includes('canary') || line.includes('hunter2'))).toEqual([]);
    },
    60_000,
  );
});
