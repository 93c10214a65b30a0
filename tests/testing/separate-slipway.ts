import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultImageReference } from '@slipway/runner';
import type { GitServer } from '../../packages/executor/test/testing/git-server.ts';
import { descendants } from '../../packages/runner/src/testing/host-processes.ts';
import { Api } from './api.ts';
import { type DeployableStack, makeStack, serveEmptyProject } from './deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './network-namespace.ts';
import { type SlipwayProcess, startSlipwayProcess } from './slipway-process.ts';

export interface SeparateOptions {
  /** Data directory of the control plane; below the folder of the whole when absent. */
  readonly serverDirectory?: string;
  /** Data directory of the runner; likewise. */
  readonly runnerDirectory?: string;
  /** They come last, and count. */
  readonly runnerFlags?: readonly string[];
}

/** Control plane and runner as processes of their own, so that each can be killed or measured alone. Runs are containers. */
export class SeparateSlipway implements AsyncDisposable {
  /** Goes with it. */
  readonly directory: string;
  readonly #options: Required<SeparateOptions>;
  readonly #cable: NetworkNamespace;
  readonly #gitServer: GitServer;
  #server: SlipwayProcess | undefined;
  #runner: SlipwayProcess | undefined;
  #api: Api | undefined;
  #adminToken = '';

  private constructor(
    directory: string,
    options: Required<SeparateOptions>,
    cable: NetworkNamespace,
    gitServer: GitServer,
  ) {
    this.directory = directory;
    this.#options = options;
    this.#cable = cable;
    this.#gitServer = gitServer;
  }

  static async start(options: SeparateOptions = {}): Promise<SeparateSlipway> {
    const directory = await mkdtemp(join(tmpdir(), 'slipway-separate-'));
    const usual = {
      serverDirectory: join(directory, 'server'),
      runnerDirectory: join(directory, 'runner'),
      runnerFlags: [],
    };
    const cable = await makeNetworkNamespace();
    const gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
    const slipway = new SeparateSlipway(directory, { ...usual, ...options }, cable, gitServer);
    try {
      await slipway.startServer();
      await slipway.startRunner();
      return slipway;
    } catch (error) {
      await slipway[Symbol.asyncDispose]();
      throw error;
    }
  }

  get server(): SlipwayProcess {
    if (!this.#server) throw new Error('no server was started');
    return this.#server;
  }

  get runner(): SlipwayProcess {
    if (!this.#runner) throw new Error('no runner was started');
    return this.#runner;
  }

  get api(): Api {
    if (!this.#api) throw new Error('no server was started');
    return this.#api;
  }

  get adminToken(): string {
    return this.#adminToken;
  }

  /** Folder of the runner's log spools. */
  get spools(): string {
    return join(this.#options.runnerDirectory, 'runner', 'log-spools');
  }

  /** Id of the first process of the control plane's database. */
  async databaseProcess(): Promise<number> {
    return Number.parseInt(await this.#serverFile('postgres', 'cluster', 'postmaster.pid'), 10);
  }

  /** At the same address as before, when there was one. */
  async startServer(...args: readonly string[]): Promise<void> {
    const listen = this.#api ? new URL(this.#api.url).host : '127.0.0.1:0';
    const { serverDirectory } = this.#options;
    this.#server = startSlipwayProcess([
      'server',
      '--listen',
      listen,
      '--data-dir',
      serverDirectory,
      ...args,
    ]);
    const [, url = ''] = await this.#server.says(/ready at (\S+)/);
    this.#adminToken = await this.#serverFile('admin-token');
    this.#api = new Api(url, this.#adminToken);
  }

  async startRunner(): Promise<void> {
    const { runnerDirectory, runnerFlags } = this.#options;
    this.#runner = startSlipwayProcess([
      ...['runner', '--server', this.api.url, '--pool-token', await this.#serverFile('pool-token')],
      ...['--data-dir', runnerDirectory, '--isolation', 'container'],
      ...['--memory-mib', '1024', '--volume-gib', '4', '--default-image', defaultImageReference],
      ...['--allow-private-networks', `${this.#cable.hostAddress}/32`, ...runnerFlags],
    ]);
    await this.#runner.says(/The runner works for the pool/);
  }

  /** With `kill -9`: the control plane, and every process of its database. */
  async killServer(): Promise<void> {
    for (const pid of [this.server.pid, ...descendants(this.server.pid)]) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // The database's processes end each other.
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    }
    await this.server.ended;
  }

  async killRunner(): Promise<void> {
    this.runner.kill('SIGKILL');
    await this.runner.ended;
  }

  makeStack(name: string): Promise<DeployableStack> {
    return makeStack(this.api, this.#gitServer, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runner?.[Symbol.asyncDispose]();
    await this.#server?.[Symbol.asyncDispose]();
    await this.#gitServer[Symbol.asyncDispose]();
    await this.#cable[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #serverFile(...path: readonly string[]): Promise<string> {
    return (await readFile(join(this.#options.serverDirectory, ...path), 'utf8')).trim();
  }
}
