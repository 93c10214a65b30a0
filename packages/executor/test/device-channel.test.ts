import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { encodeFrame, FrameDecoder, type FrameFromExecutor, frameFromExecutor } from '@slipway/core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { isRunning } from './testing/executor-process.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

const mainFile = new URL('../src/main.ts', import.meta.url).pathname;

test('over a character device that blocks, as a virtual machine has it, a run goes the same way', async () => {
  // A terminal without any line discipline stands in for the virtio port: `script` holds its other end.
  const inTerminal = `stty raw -echo; exec '${process.execPath}' '${mainFile}' 3<>/dev/tty >/dev/null 2>&1`;
  const terminal = spawn('script', ['--quiet', '--echo', 'never', '--command', inTerminal, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, SHELL: '/bin/sh' },
  });
  const decoder = new FrameDecoder(frameFromExecutor);
  const frames: FrameFromExecutor[] = [];
  for await (const chunk of terminal.stdout) {
    frames.push(...decoder.push(chunk));
    if (frames.length === 1)
      terminal.stdin.write(
        encodeFrame(program.frame({ preRunCommands: ['echo "executor $PPID"; seq 20000; exit 9'] })),
      );
    if (frames.at(-1)?.type === 'result') break;
  }
  const lines = frames.flatMap((frame) => (frame.type === 'log' ? frame.lines : []));
  const executorPid = Number(lines.flatMap((line) => /^executor (\d+)$/.exec(line)?.[1] ?? [])[0]);
  expect(await isRunning(executorPid)).toBe(true);
  terminal.kill('SIGKILL');
  await once(terminal, 'exit');
  expect(frames[0]).toEqual({ type: 'ready' });
  expect(frames.at(-1)).toMatchObject({ message: 'The step "Pre-run command" failed with exit code 9.' });
  const numbers = lines.filter((line) => /^\d+$/.test(line)).map(Number);
  expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, index) => index + 1));

  // The other end is gone: so is the executor, soon.
  await vi.waitFor(async () => expect(await isRunning(executorPid)).toBe(false), 5000);
});
