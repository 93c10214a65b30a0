import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FrameFromExecutor, maximumPieceBytes } from '@slipway/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExecutorProcess, type RunRecord } from './testing/executor-process.ts';
import { fileBackend, pulumiPath } from './testing/pulumi.ts';
import { ServedProgram } from './testing/served-program.ts';

const projectFile = 'name: greeting\nruntime:\n  name: python\n  options:\n    virtualenv: venv\n';
const install =
  'test -e venv/bin/pip || { echo installing; /usr/bin/python3 -m venv venv; venv/bin/pip install --quiet -r requirements.txt; }';
const use = `venv/bin/python -c 'import six; print("six", six.__version__)'`;

let program: ServedProgram;
let path: string;
let environment: Record<string, string>;
let extraCertificates: string;
beforeAll(async () => {
  program = await ServedProgram.create({ 'Pulumi.yaml': projectFile, 'requirements.txt': 'six==1.17.0\n' });
  path = await pulumiPath();
  const state = join(program.directory, 'state');
  await mkdir(state);
  environment = await fileBackend(state);
  extraCertificates = await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8');
}, 600_000);
afterAll(() => program[Symbol.asyncDispose]());

/** Runs `commands` and a refresh, in the same place each time, with the cache in the hands of the test. */
async function runWithCache(archive: Buffer | undefined, commands: readonly string[]) {
  const root = join(program.directory, 'root');
  const frame = program.frame(
    {
      operation: 'refresh',
      environment,
      preRunCommands: [...commands],
      executorRootPath: root,
      options: { cacheDependencies: true },
    },
    { extraCertificates },
  );
  await using executor = new ExecutorProcess();
  const saved: Buffer[] = [];
  answerFor(executor, archive, saved);
  executor.send({
    ...frame,
    cacheTransfer: 'archive',
    imageEnvironment: { ...frame.imageEnvironment, PATH: path, HOME: root },
  });
  const record: RunRecord = await executor.record();
  await rm(root, { recursive: true });
  expect(record.result, record.lines.join('\n')).toMatchObject({ outcome: 'succeeded' });
  return { lines: record.lines, archive: Buffer.concat(saved) };
}

/** Answers for the runner: gives out `archive`, and takes what is saved. */
function answerFor(executor: ExecutorProcess, archive: Buffer | undefined, saved: Buffer[]): void {
  let read = 0;
  const answer = (frame: FrameFromExecutor) => {
    if (frame.type === 'cache-restore') {
      const entry = archive ? 'archive' : 'none';
      const mayBeSaved = archive === undefined;
      executor.send({ type: 'cache-restored', entry, reason: 'of the test', mayBeSaved });
    }
    if (frame.type === 'cache-read' && archive) {
      const piece = archive.subarray(read, read + maximumPieceBytes);
      read += piece.length;
      const isLast = read === archive.length;
      executor.send({ type: 'cache-bytes', bytes: piece.toString('base64'), isLast });
    }
    if (frame.type === 'cache-write') {
      saved.push(Buffer.from(frame.bytes, 'base64'));
      if (frame.isLast) executor.send({ type: 'cache-saved', entryBytes: 1, reason: '' });
    }
  };
  let heard = 0;
  executor.channel.on('data', () => {
    for (const frame of executor.frames.slice(heard)) answer(frame);
    heard = executor.frames.length;
  });
}

test('a virtual environment that pip has filled in one run is used by the next one', async () => {
  const init = 'pulumi stack init organization/greeting/dev';
  const first = await runWithCache(undefined, [init, install, use]);
  expect(first.lines).toContain('installing');
  expect(first.lines).toContain('six 1.17.0');
  expect(first.lines.find((line) => line.startsWith('Got cache entry key pip-'))).toContain('/venv');
  const second = await runWithCache(first.archive, [install, use]);
  expect(second.lines).toContain('Cache used: of the test.');
  expect(second.lines).not.toContain('installing');
  expect(second.lines).toContain('six 1.17.0');

  const third = await runWithCache(undefined, []);
  expect(third.lines).toContain('Cache not saved: none of the folders that are kept is there.');
}, 120_000);
