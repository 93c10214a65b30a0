import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cancellation } from './cancellation.ts';
import type { Environment } from './environment.ts';
import type { StepLog } from './log/step-log.ts';
import { spawnAsFirstVictim } from './memory-priority.ts';
import { findShortage, type Shortage } from './shortage/find-shortage.ts';
import { type KernelCounters, kernelCounters, processLimit } from './shortage/kernel-counters.ts';
import { volumeState } from './shortage/volume-state.ts';
import { StepFailure } from './step.ts';

export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly workingDirectory: string;
  readonly environment: Environment;
  /**
   * Who is interrupted when the run is cancelled: `process` for a program that ends its children in its own order,
   * as `pulumi` does; `group` for all others, as a terminal would.
   */
  readonly interrupt: 'process' | 'group';
}

/** How a command ended, and what it said last. */
export interface CommandEnd {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last lines, masked, oldest first. */
  readonly lastLines: readonly string[];
  /**
   * What it ran out of, when it failed. A process beside it counts as well: `pulumi` survives its programs and fails
   * when they are killed.
   */
  readonly shortage: Shortage | null;
}

/** A program is not in the executor image, or nobody may run it. */
export class CommandNotFound extends Error {
  override readonly name = 'CommandNotFound';
}

/** The trace of a runtime that gave up takes some dozens. */
const lastLinesKept = 100;
const killedExitCode = 128 + 9;

/** How long output may lag behind the end of its process. A process left in the background keeps it open for ever. */
const outputLagMilliseconds = 500;

/**
 * Runs a command in a process group of its own, its output copied to `log`. Answers when it has ended and its output
 * was written; what it left in the background goes on, and so does the copying of its output.
 * Throws `CommandNotFound` when there is no such program, `StepFailure` when the kernel starts no more, and an
 * `AbortError` once the run is cancelled.
 */
export async function runCommand(
  command: Command,
  log: StepLog,
  cancellation: Cancellation,
): Promise<CommandEnd> {
  const before = await kernelCounters();
  cancellation.interrupted.throwIfAborted();
  ignoreSignals();
  const [file, ...parameters] = command.argv;
  const child = spawnAsFirstVictim(() =>
    spawn(file, parameters, {
      cwd: command.workingDirectory,
      env: command.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    }),
  );
  const lastLines: string[] = [];
  const keep = (line: string) => {
    if (lastLines.push(line) > lastLinesKept) lastLines.shift();
  };
  const output = log.copy([child.stdout, child.stderr], keep);
  const release = obey(cancellation, child, command.interrupt);
  try {
    const [exitCode, signal] = await exitOf(child, file);
    await Promise.race([output, sleep(outputLagMilliseconds, undefined, { ref: false })]);
    const end = { exitCode, signal, lastLines };
    return { ...end, shortage: exitCode === 0 ? null : await shortageOf(command, end, before) };
  } finally {
    release();
    // Copying may go on behind us; when the runner is gone it ends, which the connection's reader reports.
    output.catch(() => {});
  }
}

/** A command has no say in when the executor ends: only the runner has. */
function ignoreSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    if (process.listenerCount(signal) === 0) process.on(signal, () => {});
  }
}

async function shortageOf(
  { workingDirectory }: Command,
  { exitCode, signal, lastLines }: Omit<CommandEnd, 'shortage'>,
  before: KernelCounters,
): Promise<Shortage | null> {
  return findShortage({
    wasKilled: signal === 'SIGKILL' || exitCode === killedExitCode,
    lastLines,
    before,
    after: await kernelCounters(),
    processLimit: await processLimit(),
    volume: await volumeState(workingDirectory),
  });
}

async function exitOf(child: ChildProcess, file: string): Promise<[number | null, NodeJS.Signals | null]> {
  try {
    const [exitCode, signal] = await once(child, 'exit');
    return [exitCode, signal];
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EAGAIN') {
      throw new StepFailure(
        'process-limit',
        `"${file}" could not be started: the kernel allows no more processes.`,
      );
    }
    if (code !== 'ENOENT' && code !== 'EACCES') throw error;
    const problem = code === 'ENOENT' ? 'has no program' : 'does not allow to run the program';
    throw new CommandNotFound(`the executor image ${problem} "${file}" on its PATH`, { cause: error });
  }
}

/** Passes interrupt and kill on to the command. Answers how to stop that. */
function obey(cancellation: Cancellation, child: ChildProcess, target: Command['interrupt']): () => void {
  const interrupt = () => signal(child, target, 'SIGINT');
  const kill = () => signal(child, 'group', 'SIGKILL');
  for (const [when, act] of [
    [cancellation.interrupted, interrupt],
    [cancellation.killed, kill],
  ] as const) {
    when.addEventListener('abort', act, { once: true });
  }
  return () => {
    cancellation.interrupted.removeEventListener('abort', interrupt);
    cancellation.killed.removeEventListener('abort', kill);
  };
}

function signal(child: ChildProcess, target: Command['interrupt'], name: 'SIGINT' | 'SIGKILL'): void {
  // Without a process id it was never started; once it has an exit code, its id may be another's.
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(target === 'group' ? -child.pid : child.pid, name);
  } catch {
    // It has become another user's, by sudo say: what it does not obey, the end of its sandbox does.
  }
}
