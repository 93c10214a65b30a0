import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { compile, guestSources } from '../src/guest/compile.ts';

/** guest/host/confine.c by itself, around busybox: where QEMU runs, other things end a machine as well. */
const busybox = '/bin/busybox';
let folder = '';
let confine = '';
let started: ChildProcess | undefined;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'slipway-confine-'));
  confine = join(folder, 'confine');
  await compile([join(guestSources, 'host/confine.c')], confine);
});
afterEach(() => started?.kill('SIGKILL'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A shell script in confinement; `starter` is a command in front of it. Answers the process, and reads what it writes. */
function confined(script: string, ...starter: string[]): ChildProcess {
  const [command = '', ...rest] = [
    ...[...starter, confine, '1000000007', 'none', busybox, busybox],
    ...['--', busybox, 'sh', '-c', script],
  ];
  started = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  return started;
}

async function read({ stdout }: ChildProcess): Promise<string> {
  return stdout ? String((await once(stdout, 'data'))[0]).trim() : '';
}

const childOf = (id: number | undefined) =>
  Number(readFileSync(`/proc/${id}/task/${id}/children`, 'utf8').trim());

function lives(id: number): boolean {
  try {
    return /\) [^ZX]/.test(readFileSync(`/proc/${id}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Nothing that a program could do at a signal keeps it. */
const obstinate = 'trap "" TERM INT HUP; echo ready; while :; do :; done';

test('a program in confinement is the only process that it sees', async () => {
  const program = confined('echo $$; kill -0 2 || exit 0');
  expect(await read(program)).toBe('1');
  expect(await once(program, 'exit')).toEqual([0, null]);
});

test('its end is told as its own', async () => {
  expect(await once(confined('exit 7'), 'exit')).toEqual([7, null]);
  expect(await once(confined('call() { call; }; call'), 'exit')).toEqual([null, 'SIGSEGV']);
});

test('it is killed when its keeper is told to end it, and is gone when that has', async () => {
  const keeper = confined(obstinate);
  await read(keeper);
  const program = childOf(keeper.pid);
  keeper.kill('SIGTERM');
  expect(await once(keeper, 'exit')).toEqual([null, 'SIGKILL']);
  expect(lives(program)).toBe(false);
});

test.each([
  ['whoever started its keeper', 0],
  ['its keeper', 1],
])('it dies with %s', async (_who, depth) => {
  const starter = confined(obstinate, 'sh', '-c', '"$@" & wait', 'sh');
  await read(starter);
  const keeper = childOf(starter.pid);
  const program = childOf(keeper);
  process.kill([starter.pid ?? 0, keeper][depth] ?? 0, 'SIGKILL');
  await expect.poll(() => lives(program), { interval: 5, timeout: 1_000 }).toBe(false);
  await expect.poll(() => lives(keeper), { interval: 5, timeout: 1_000 }).toBe(false);
});
