import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ExecutorProcess,
  type JobFrame,
  type JobParts,
  jobFrame,
  type RunRecord,
  temporaryDirectory,
} from './executor-process.ts';
import { makeRepository, serveGit } from './git-server.ts';

/** A project whose destroy and refresh need no language host: there is no program to run. */
export const programFiles = { 'Pulumi.yaml': 'name: greeting\nruntime: nodejs\n' };

/** A repository on a git server, and runs of it, each in a root of its own. */
export class ServedProgram implements AsyncDisposable {
  readonly directory: string;
  readonly repoUrl: string;
  readonly #resources: AsyncDisposableStack;
  #runs = 0;

  private constructor(directory: string, repoUrl: string, resources: AsyncDisposableStack) {
    this.directory = directory;
    this.repoUrl = repoUrl;
    this.#resources = resources;
  }

  static async create(files: Readonly<Record<string, string>> = programFiles): Promise<ServedProgram> {
    await using resources = new AsyncDisposableStack();
    const { path } = resources.use(await temporaryDirectory());
    await makeRepository(join(path, 'repositories', 'program'), files);
    const server = resources.use(await serveGit(join(path, 'repositories')));
    return new ServedProgram(path, `${server.url}/program/.git`, resources.move());
  }

  /** A frame for a run of this program in a root of its own. */
  frame(parts: JobParts, network: Partial<JobFrame['network']> = {}): JobFrame {
    this.#runs += 1;
    const root = join(this.directory, `run-${this.#runs}`);
    return jobFrame(root, { source: { kind: 'git', repoUrl: this.repoUrl }, ...parts }, network);
  }

  /** Runs pre-run commands; a last one of ours fails, so that no `pulumi` is needed. */
  async runCommands(
    preRunCommands: readonly string[],
    parts: JobParts = {},
    network: Partial<JobFrame['network']> = {},
  ): Promise<RunRecord> {
    return this.run(this.frame({ ...parts, preRunCommands: [...preRunCommands, 'exit 9'] }, network));
  }

  async run(frame: JobFrame): Promise<RunRecord> {
    await using executor = new ExecutorProcess();
    executor.send(frame);
    const record = await executor.record();
    await rm(frame.job.executorRootPath, { recursive: true, force: true });
    return record;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
