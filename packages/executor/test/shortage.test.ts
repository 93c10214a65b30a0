import { execFileSync } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Evidence, findShortage } from '../src/shortage/find-shortage.ts';
import { ExecutorProcess } from './testing/executor-process.ts';
import { pulumiPath } from './testing/pulumi.ts';
import { ServedProgram } from './testing/served-program.ts';

let program: ServedProgram;
beforeAll(async () => {
  program = await ServedProgram.create();
});
afterAll(() => program[Symbol.asyncDispose]());

/** The end of a pre-run command. */
async function endOf(script: string, environment: Record<string, string> = {}) {
  const { result } = await program.run(program.frame({ preRunCommands: [script], environment }));
  return result;
}

describe('a process that reaches the limit of its own memory is told from a sandbox without memory:', () => {
  test('Node.js, with its process and heap', async () => {
    const script = '"$NODE" --max-old-space-size=20 -e "const a = []; for (;;) a.push(Array(1000).fill({}))"';
    const { cause, message } = await endOf(script, { NODE: process.execPath });
    expect(cause).toBe('heap-limit');
    expect(message).toMatch(
      /Node\.js reached the limit of its heap \(process \d+, with a heap of [\d.]+ MB\)\./,
    );
    expect(message).toContain('--max-old-space-size');
  });

  test('Go, as pulumi is written in it', async () => {
    const { cause, message } = await endOf('ulimit -v 400000; exec pulumi version', {
      PATH: await pulumiPath(),
    });
    expect(cause).toBe('heap-limit');
    expect(message).toContain('a Go program was refused more memory');
  });

  // As the runtimes themselves wrote it; they are in no package that these tests need otherwise.
  test.each([
    ['Exception in thread "main" java.lang.OutOfMemoryError: Java heap space', /Java .*JAVA_TOOL_OPTIONS/],
    ['Terminating due to java.lang.OutOfMemoryError: Java heap space', /Java .*JAVA_TOOL_OPTIONS/],
    ['Could not reserve enough space for 8388608KB object heap', /Java .*JAVA_TOOL_OPTIONS/],
    [
      "Unhandled exception. System.OutOfMemoryException: Exception of type 'System.OutOfMemoryException' was thrown.",
      /\.NET .*DOTNET_GCHeapHardLimit/,
    ],
    ['MemoryError', /refused more memory/],
  ])('%s', (line, explanation) => {
    const shortage = findShortage({
      ...ordinaryEnd,
      lastLines: ['before', line, '    at Main.main(Main.java:3)'],
    });
    expect(shortage).toMatchObject({ cause: 'heap-limit', explanation: expect.stringMatching(explanation) });
  });
});

describe('a command that fails on a volume', () => {
  /** Runs a command in a small file system of memory. */
  async function endOnVolume(options: string, script: string) {
    const frame = program.frame({ preRunCommands: [script] });
    const root = frame.job.executorRootPath;
    await mkdir(root, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
    try {
      await using executor = new ExecutorProcess();
      executor.send(frame);
      return (await executor.record()).result;
    } finally {
      execFileSync('umount', ['--lazy', root]);
      await rm(root, { recursive: true });
    }
  }

  test('without space, by its own words', async () => {
    const script = 'dd if=/dev/zero of=fill bs=64k; status=$?; rm fill; exit $status';
    expect(await endOnVolume('size=4m', script)).toMatchObject({
      cause: 'disk-full',
      message: expect.stringMatching(/failed with exit code 1: there was no space left on the volume\.$/),
    });
  });

  test('without space, also when it does not say so', async () => {
    const script = 'dd if=/dev/zero of=fill bs=64k 2> /dev/null || exit 1';
    expect(await endOnVolume('size=4m', script)).toMatchObject({ cause: 'disk-full' });
  });

  test('that can hold no more files', async () => {
    const script = 'i=0; while : > file-$i; do i=$((i + 1)); done';
    expect(await endOnVolume('size=16m,nr_inodes=400', script)).toMatchObject({
      cause: 'inodes-exhausted',
      message: expect.stringContaining('all of the 400 files that the volume can hold are made'),
    });
  });

  test('with room for reasons of its own', async () => {
    expect(await endOnVolume('size=16m', 'exit 255')).toMatchObject({
      cause: 'program-error',
      message: expect.stringMatching(/failed with exit code 255\.$/),
    });
  });
});

const ordinaryEnd: Evidence = {
  wasKilled: false,
  lastLines: [],
  before: { memoryKills: 3, processRefusals: 5 },
  after: { memoryKills: 3, processRefusals: 5 },
  processLimit: 77,
  volume: { freeBytes: 2 ** 30, totalBytes: 2 ** 31, freeFiles: 1000, totalFiles: 2000 },
};

describe('what the kernel counted while a command ran', () => {
  test('is why it failed: processes killed for want of memory, processes refused', () => {
    expect(findShortage({ ...ordinaryEnd, after: { memoryKills: 4, processRefusals: 5 } })).toMatchObject({
      cause: 'out-of-memory',
    });
    expect(findShortage({ ...ordinaryEnd, after: { memoryKills: 3, processRefusals: 6 } })).toMatchObject({
      cause: 'process-limit',
      explanation: expect.stringContaining('77'),
    });
  });

  test('is not why, when it was before: an end by SIGKILL then was no matter of memory', () => {
    expect(findShortage({ ...ordinaryEnd, wasKilled: true })).toBeNull();
  });

  test('is guessed where it does not count', () => {
    const silent = { memoryKills: null, processRefusals: null };
    const killed = { ...ordinaryEnd, wasKilled: true, before: silent, after: silent };
    expect(findShortage(killed)).toMatchObject({ cause: 'out-of-memory' });
    expect(findShortage({ ...killed, wasKilled: false })).toBeNull();
  });
});

test('watches of files that ran out are no full volume, though the error is the same', () => {
  const line = "Error: ENOSPC: System limit for number of file watchers reached, watch '/deployment'";
  expect(findShortage({ ...ordinaryEnd, lastLines: [line] })).toBeNull();
});
