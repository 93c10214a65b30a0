import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import {
  encodeFrame,
  FrameDecoder,
  type FrameFromExecutor,
  type FrameToExecutor,
  frameFromExecutor,
  type Job,
  job as jobSchema,
} from '@slipway/core';

export type JobFrame = Extract<FrameToExecutor, { type: 'job' }>;
type ResultFrame = Extract<FrameFromExecutor, { type: 'result' }>;

const mainFile = new URL('../../src/main.ts', import.meta.url).pathname;

/** What the runner sees of a finished run. */
export interface RunRecord {
  readonly result: ResultFrame;
  readonly plan: readonly string[];
  /** `<name of the step>: <status>`, in order. */
  readonly statuses: readonly string[];
  /** Text of every log line, in order. */
  readonly lines: readonly string[];
}

/** The real executor as a child process, driven over a socket pair as the runner does it. */
export class ExecutorProcess implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly channel: Duplex;
  readonly frames: FrameFromExecutor[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(environment: NodeJS.ProcessEnv = {}) {
    this.process = spawn(process.execPath, [mainFile], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
      env: { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...environment },
    });
    const channel = this.process.stdio[3];
    if (!(channel instanceof Duplex)) throw new Error('file descriptor 3 is no duplex stream');
    this.channel = channel;
    const decoder = new FrameDecoder(frameFromExecutor);
    channel.on('error', () => {});
    channel.on('data', (chunk: Buffer) => {
      this.frames.push(...decoder.push(chunk));
      for (const wake of this.#waiting) wake();
    });
  }

  /** Text of every log line so far, in order. */
  get lines(): string[] {
    return this.frames.flatMap((frame) => (frame.type === 'log' ? frame.lines : []));
  }

  send(frame: FrameToExecutor): void {
    this.channel.write(encodeFrame(frame));
  }

  /** The first frame that `find` picks, past or to come. Rejects when the executor ends without it. */
  async frame<Found extends FrameFromExecutor>(
    find: (frame: FrameFromExecutor) => frame is Found,
  ): Promise<Found> {
    let searched = 0;
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.frames.slice(searched).find(find);
        searched = this.frames.length;
        if (!found) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      this.process.once('close', () => reject(new Error('the executor ended without the awaited frame')));
      look();
    });
  }

  line(text: string): Promise<FrameFromExecutor> {
    return this.frame(
      (frame): frame is FrameFromExecutor =>
        frame.type === 'log' && frame.lines.some((line) => line.includes(text)),
    );
  }

  /** Waits for the result. */
  async record(): Promise<RunRecord> {
    const result = await this.frame((frame) => frame.type === 'result');
    const plan = this.frames.find((frame) => frame.type === 'plan')?.steps ?? [];
    return {
      result,
      plan,
      statuses: this.frames.flatMap((frame) =>
        frame.type === 'step' ? [`${plan[frame.step]}: ${frame.status}`] : [],
      ),
      lines: this.lines,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.destroy();
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'exit');
  }
}

/** Runs `frame` from start to end. */
export async function execute(frame: JobFrame): Promise<RunRecord> {
  await using executor = new ExecutorProcess();
  executor.send(frame);
  return await executor.record();
}

/** Whether a process still runs; one that ended counts as gone, also when nobody has waited for it. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

/** A folder that is removed at the end. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'slipway-executor-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export type JobParts = Partial<Omit<Job, 'options'>> & { options?: Partial<Job['options']> };

/** A job as the control plane sends it; `rootPath` is the executor's root, `parts` what the test is about. */
export function jobFrame(
  rootPath: string,
  parts: JobParts,
  network: Partial<JobFrame['network']> = {},
): JobFrame {
  const job = jobSchema.parse({
    runId: 'run-1',
    workflow: 'deployment',
    stack: { organization: 'organization', project: 'greeting', stack: 'dev' },
    operation: 'destroy',
    deployment: { id: '5d7c3a6e-0000-4000-8000-000000000001', version: 7 },
    jobToken: 'job-token-canary',
    consoleUrl: 'http://console.example/run',
    source: { kind: 'git', repoUrl: 'http://127.0.0.1:1/none.git' },
    environment: {},
    preRunCommands: [],
    secrets: ['job-token-canary'],
    executorRootPath: rootPath,
    ...parts,
    options: { skipInstallDependencies: true, ...parts.options },
  });
  return {
    type: 'job',
    job,
    network: {
      gatewayUrl: 'http://slipway.internal',
      extraCertificates: '',
      proxy: { noProxy: '' },
      ...network,
    },
    imageEnvironment: { PATH: process.env.PATH ?? '', HOME: rootPath },
  };
}
