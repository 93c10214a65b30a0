import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { maximumLineCharacters } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ExecutorProcess, isRunning } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

describe('secrets never leave in the log', () => {
  const secret = 'hunter2-canary';

  test.each([
    ['in one piece', `echo ${secret}`],
    ['in pieces with time between them', 'printf hunter2; sleep 0.3; echo -canary'],
    ['byte by byte', `for c in h u n t e r 2 - c a n a r y; do printf $c; sleep 0.02; done; echo`],
    [
      'on two streams at once',
      '(printf hunter2; sleep 0.3; echo -canary) & (sleep 0.1; printf hunter2 >&2; sleep 0.3; echo -canary >&2); wait',
    ],
    ['without a newline at the end', `printf ${secret}`],
    ['as base64', `printf ${secret} | base64`],
    ['from its variable', 'env | grep CANARY'],
  ])('%s', async (_name, script) => {
    const { lines } = await program.runCommands([script], {
      secrets: [secret],
      environment: { CANARY: secret },
    });
    const text = lines.join('\n');
    expect(text).toContain('***');
    expect(text).not.toMatch(/canary|hunter2/);
    expect(text).not.toContain(Buffer.from(secret).toString('base64').slice(0, 12));
  });

  test('nor in the result', async () => {
    const { result } = await program.run(
      program.frame({ source: { kind: 'git', repoUrl: program.repoUrl, branch: secret }, secrets: [secret] }),
    );
    expect(result.message).toContain('has no branch "***"');
  });
});

test('lines come as they were written: empty ones, without a newline at the end, with CRLF, from both streams', async () => {
  const { lines } = await program.runCommands([
    "printf 'one\\n\\ntwo\\r\\n'; sleep 0.2; printf 'err\\n' >&2; sleep 0.2; printf 'last'",
  ]);
  expect(lines.slice(-5)).toEqual(['one', '', 'two', 'err', 'last']);
});

test('a line that is too long comes in pieces, and no character is lost or broken', async () => {
  const { lines } = await program.runCommands([
    `awk 'BEGIN { for (i = 0; i < ${maximumLineCharacters}; i++) printf "x😀"; print "" }'`,
  ]);
  const pieces = lines.slice(-4);
  expect(pieces.join('')).toBe('x😀'.repeat(maximumLineCharacters));
  for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(maximumLineCharacters);
});

test('pieces say which line they are of: both streams may be in the middle of one, and what was left in the background', async () => {
  const half = (letter: string) => `head -c 50000 /dev/zero | tr '\\0' ${letter}`;
  const line = (letter: string) => `${half(letter)}; sleep 0.3; ${half(letter)}; sleep 0.3; echo ${letter}`;
  await using executor = new ExecutorProcess();
  const background = `(${line('c')}) & sleep 0.1`;
  executor.send(
    program.frame({
      preRunCommands: [background, `(${line('a')}) & (sleep 0.1; ${line('b')}) >&2; wait; exit 9`],
    }),
  );
  await executor.record();
  const pieces = executor.frames.flatMap((frame) => (frame.type === 'log' && frame.piece ? [frame] : []));
  const said = pieces.map(
    ({ step, piece, lines }) => [`${step}.${piece?.line}`, lines.join(), piece?.isLast] as const,
  );
  for (const letter of ['a', 'b', 'c']) {
    const own = said.filter(([, text]) => text.startsWith(letter));
    expect(own.map(([, text, isLast]) => [text.length, isLast])).toEqual([
      [maximumLineCharacters, false],
      [100_001 - maximumLineCharacters, true],
    ]);
    expect(new Set(own.map(([name]) => name)).size).toBe(1);
  }
  expect(new Set(said.map(([name]) => name)).size).toBe(3);
});

test('a process left in the background does not hold up the run, and later steps may use it', async () => {
  const started = Date.now();
  const { lines, result } = await program.runCommands([
    'sleep 30 & echo $! > pid; echo "left behind"',
    'kill -0 $(cat pid) && echo "still there"; kill $(cat pid)',
  ]);
  expect(lines).toContain('still there');
  expect(result.message).toMatch(/"Pre-run command 3" failed with exit code 9/);
  expect(Date.now() - started).toBeLessThan(10_000);
});

test('nothing comes after the result, not even from a process in the background', async () => {
  await using executor = new ExecutorProcess();
  executor.send(
    program.frame({ preRunCommands: ['(while sleep 0.05; do echo tick || exit; done) & sleep 0.3; exit 9'] }),
  );
  await executor.record();
  await sleep(500);
  expect(executor.frames.at(-1)?.type).toBe('result');
});

test('a runner that does not read holds up the commands, and the memory of the executor stays small', async () => {
  await using executor = new ExecutorProcess();
  executor.send(
    program.frame({
      preRunCommands: [
        'yes 0123456789012345678901234567890123456789 | head -c 100000000; echo done > finished',
      ],
    }),
  );
  await executor.line('0123456789');
  executor.channel.pause();
  await sleep(3000);
  const residentMiB = await residentMemoryMiB(executor.process.pid ?? 0);
  executor.channel.resume();
  const record = await executor.record();
  expect(residentMiB).toBeLessThan(200);
  expect(record.lines.filter((line) => line.startsWith('0123')).length).toBeGreaterThan(2_400_000);
}, 120_000);

test('the executor ends when the runner closes the channel, and what still ran is killed', async () => {
  const executor = new ExecutorProcess();
  executor.send(program.frame({ preRunCommands: ['echo "pid $$"; exec sleep 60'] }));
  await executor.line('pid ');
  const line = executor.lines.at(-1) ?? '';
  const pid = Number(line.replace('pid ', ''));
  executor.channel.destroy();
  await once(executor.process, 'exit');
  await sleep(200);
  expect(await isRunning(pid)).toBe(false);
});

async function residentMemoryMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}
