import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultImageReference } from '@slipway/runner';
import type { GitServer } from '../../packages/executor/test/testing/git-server.ts';
import { Api } from './api.ts';
import { type DeployableStack, makeStack, serveEmptyProject } from './deployable-stack.ts';
import { makeNetworkNamespace, type NetworkNamespace } from './network-namespace.ts';
import { descendants } from './sandbox-processes.ts';
import { type SlipwayProcess, startSlipwayProcess } from './slipway-process.ts';

/** Control plane and runner as processes of their own, so that each can be killed or measured alone. Runs are containers. */
export class SeparateSlipway implements AsyncDisposable {
  readonly directory: string;
  readonly #cable: NetworkNamespace;
  readonly #gitServer: GitServer;
  #server: SlipwayProcess | undefined;
  #runner: SlipwayProcess | undefined;
  #api: Api | undefined;

  private constructor(directory: string, cable: NetworkNamespace, gitServer: GitServer) {
    this.directory = directory;
    this.#cable = cable;
    this.#gitServer = gitServer;
  }

  static async start(): Promise<SeparateSlipway> {
    const directory = await mkdtemp(join(tmpdir(), 'slipway-separate-'));
    const cable = await makeNetworkNamespace();
    const gitServer = await serveEmptyProject(join(directory, 'git'), cable.hostAddress);
    const slipway = new SeparateSlipway(directory, cable, gitServer);
    await slipway.startServer();
    await slipway.startRunner();
    return slipway;
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

  /** Folder of the runner's log spools. */
  get spools(): string {
    return join(this.directory, 'runner', 'runner', 'log-spools');
  }

  /** At the same address as before, when there was one. */
  async startServer(...args: readonly string[]): Promise<void> {
    const listen = this.#api ? new URL(this.#api.url).host : '127.0.0.1:0';
    const dataDirectory = join(this.directory, 'server');
    this.#server = startSlipwayProcess(['server', '--listen', listen, '--data-dir', dataDirectory, ...args]);
    const [, url = ''] = await this.#server.says(/ready at (\S+)/);
    this.#api = new Api(url, (await readFile(join(dataDirectory, 'admin-token'), 'utf8')).trim());
  }

  async startRunner(): Promise<void> {
    const poolToken = (await readFile(join(this.directory, 'server', 'pool-token'), 'utf8')).trim();
    const { hostAddress } = this.#cable;
    this.#runner = startSlipwayProcess([
      ...['runner', '--server', this.api.url, '--pool-token', poolToken],
      ...['--data-dir', join(this.directory, 'runner'), '--isolation', 'container'],
      ...['--memory-mib', '1024', '--volume-gib', '4', '--default-image', defaultImageReference],
      ...['--allow-private-networks', `${hostAddress}/32`],
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
}
