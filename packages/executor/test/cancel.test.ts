import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExecutorProcess, isRunning } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

test('a cancelled command is interrupted, may finish its work, and no later step starts', async () => {
  await using executor = new ExecutorProcess();
  const script = 'trap "echo cleaning up; exit 1" INT; echo "at work"; sleep 60 & wait';
  executor.send(program.frame({ preRunCommands: [script, 'echo never'] }));
  await executor.line('at work');
  executor.send({ type: 'cancel', graceSeconds: 30 });
  const { result, lines, statuses } = await executor.record();
  expect(result).toEqual({
    type: 'result',
    outcome: 'failed',
    cause: 'cancelled',
    message: 'The step "Pre-run command 1" was interrupted.',
  });
  expect(lines.at(-1)).toBe('cleaning up');
  expect(statuses.at(-1)).toBe('Pre-run command 1: failed');
});

test('a command that ignores the interrupt is killed after the grace, with all its children', async () => {
  await using executor = new ExecutorProcess();
  executor.send(program.frame({ preRunCommands: ['trap "" INT; sleep 60 & echo "pid $!"; wait; sleep 60'] }));
  await executor.line('pid ');
  const pid = Number(executor.lines.at(-1)?.replace('pid ', ''));
  const started = Date.now();
  executor.send({ type: 'cancel', graceSeconds: 1 });
  const { result } = await executor.record();
  expect(result.cause).toBe('cancelled');
  expect(Date.now() - started).toBeGreaterThanOrEqual(1000);
  expect(Date.now() - started).toBeLessThan(5000);
  expect(await isRunning(pid)).toBe(false);
});

test('cancelling twice is harmless: the first grace counts', async () => {
  await using executor = new ExecutorProcess();
  const script = 'trap "echo interrupted" INT; echo "at work"; sleep 1; sleep 1; exit 4';
  executor.send(program.frame({ preRunCommands: [script] }));
  await executor.line('at work');
  executor.send({ type: 'cancel', graceSeconds: 30 });
  executor.send({ type: 'cancel', graceSeconds: 0 });
  const { result, lines } = await executor.record();
  expect(result.cause).toBe('cancelled');
  expect(lines.filter((line) => line === 'interrupted')).toHaveLength(1);
});

test('a run that is cancelled before its job does nothing', async () => {
  await using executor = new ExecutorProcess();
  executor.send({ type: 'cancel', graceSeconds: 30 });
  executor.send(program.frame({ preRunCommands: ['echo never'] }));
  const { result, statuses } = await executor.record();
  expect(result).toMatchObject({ cause: 'cancelled', message: 'The step "Get source" was not started.' });
  expect(statuses).toEqual([]);
});

test('a command cannot end the executor with a signal that it may handle', async () => {
  const { result } = await program.runCommands([
    'kill -INT $PPID; kill -TERM $PPID; kill -HUP $PPID; sleep 0.2',
  ]);
  expect(result.message).toBe('The step "Pre-run command 2" failed with exit code 9.');
});

test('when memory runs out, the commands are killed before the executor', async () => {
  // For a moment, in which it starts the command, the executor has the command's score itself.
  const { lines } = await program.runCommands([
    'sleep 0.5; echo "scores $(cat /proc/self/oom_score_adj) $(cat /proc/$PPID/oom_score_adj)"',
  ]);
  const [, command, executor] = /scores (-?\d+) (-?\d+)/.exec(lines.at(-1) ?? '') ?? [];
  expect(Number(command)).toBe(500);
  expect(Number(executor)).toBeLessThanOrEqual(0);
});

test('an executor that fails ends, although its runner still listens', async () => {
  const broken = 'data:text/javascript,setTimeout(() => { throw new Error("broken"); }, 500)';
  await using executor = new ExecutorProcess({ NODE_OPTIONS: `--import ${JSON.stringify(broken)}` });
  const [, signal] = await once(executor.process, 'exit', { signal: AbortSignal.timeout(10_000) });
  expect(signal).toBe('SIGKILL');
});

test('bytes that are no frame end the executor', async () => {
  const executor = new ExecutorProcess();
  executor.channel.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
  const [exitCode] = await once(executor.process, 'exit');
  expect(exitCode).toBe(1);
});
