import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerOptions, startServer } from '@slipway/control-plane';
import {
  type ClaimRequest,
  type ClaimResponse,
  claimResponse,
  defaultSandboxSize,
  type FinishRequest,
  type Job,
  jobResponse,
  type LogLine,
  registerResponse,
  runCallResponse,
  runnerContractPath,
  type StepReport,
} from '@slipway/core';
import * as z from 'zod';
import { makeTestDatabase } from './test-database.ts';

export const organization = 'acme';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * A real server and a client in its administrator's name. Its database is its own, unless `options` name one: in the
 * PostgreSQL that the tests share, or in one that it starts and stops itself.
 */
export async function startTestServer(
  options: Partial<ServerOptions> = {},
  postgres: 'shared' | 'embedded' = 'shared',
) {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'slipway-deployments-'));
  const isOwn = options.databaseUrl === undefined && postgres === 'shared';
  const database = isOwn ? await makeTestDatabase() : undefined;
  const databaseUrl = database?.url ?? options.databaseUrl;
  const server = await startServer({
    ...{ dataDirectory, host: '127.0.0.1', port: 0, organization, ...options, databaseUrl },
  });

  async function call(
    method: string,
    path: string,
    body?: unknown,
    options: { readonly authorization?: string; readonly headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const response = await fetch(server.url + path, {
      method,
      headers: { authorization: options.authorization ?? `token ${server.adminToken}`, ...options.headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  }

  async function expectCall<T>(
    schema: z.ZodType<T>,
    status: number,
    ...[method, path, body, options]: Parameters<typeof call>
  ): Promise<T> {
    const answer = await call(method, path, body, options);
    if (answer.status !== status) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    }
    return schema.parse(answer.body);
  }

  return {
    server,
    databaseUrl,
    dataDirectory,
    call,
    expectCall,
    /** Makes a stack and answers its API path. */
    makeStack: async (name: string, project = 'shop') => {
      await expectCall(z.unknown(), 200, 'POST', `/api/stacks/${organization}/${project}`, {
        stackName: name,
      });
      return `/api/stacks/${organization}/${project}/${name}`;
    },
    stop: async () => {
      await server.close();
      await database?.drop();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

export type TestServer = Awaited<ReturnType<typeof startTestServer>>;

const created = z.object({ id: z.string(), version: z.number(), consoleUrl: z.string() });

/** Queues a deployment of a stack from a repository that nobody will fetch. */
export function deploy(server: TestServer, stackPath: string, body: object = {}) {
  return server.expectCall(created, 202, 'POST', `${stackPath}/deployments`, {
    operation: 'update',
    sourceContext: { git: { repoUrl: 'https://git.example.com/shop.git', branch: 'main' } },
    ...body,
  });
}

const wide = { cpus: 64, memoryMiB: 1_000_000, volumeGiB: 10_000 };
/** What a runner tells of a host with room for everything. */
export const wideRoom = { now: wide, empty: wide, defaultSize: defaultSandboxSize, cacheDiskGiB: 0 };

/** A runner's side of the contract, call by call. */
export class TestRunner {
  readonly #server: TestServer;
  readonly #poolToken: string;
  readonly runnerId: string;

  private constructor(server: TestServer, poolToken: string, runnerId: string) {
    this.#server = server;
    this.#poolToken = poolToken;
    this.runnerId = runnerId;
  }

  static async register(server: TestServer, poolToken = server.server.poolToken): Promise<TestRunner> {
    const registration = {
      ...{ hostname: 'runner-host', pid: 4711, version: '0.1.0' },
      ...{ platform: 'linux/amd64', isolation: 'vm', slots: 1 },
    };
    const path = `${runnerContractPath}/register`;
    const authorization = `token ${poolToken}`;
    const { runnerId } = await server.expectCall(registerResponse, 200, 'POST', path, registration, {
      authorization,
    });
    return new TestRunner(server, poolToken, runnerId);
  }

  /** Claims a run; undefined when there is none within the time. */
  async claim(request: Partial<ClaimRequest> = {}): Promise<TestRun | undefined> {
    const body = {
      ...{ runnerId: this.runnerId, nonce: crypto.randomUUID() },
      ...{ platform: 'linux/amd64', isolation: 'vm', waitSeconds: 0 },
      capacity: wideRoom,
      isPaused: false,
      ...request,
    };
    const authorization = `token ${this.#poolToken}`;
    const answer = await this.#server.call('POST', `${runnerContractPath}/claim`, body, { authorization });
    if (answer.status === 204) return undefined;
    if (answer.status !== 200)
      throw new Error(`claim answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return new TestRun(this.#server, claimResponse.parse(answer.body));
  }

  /** Claims the run that must be there. */
  async mustClaim(request: Partial<ClaimRequest> = {}): Promise<TestRun> {
    const run = await this.claim(request);
    if (!run) throw new Error('there was no run to claim');
    return run;
  }
}

/** A claimed run. */
export class TestRun {
  readonly #server: TestServer;
  readonly claim: ClaimResponse;
  #sequence = 0;

  constructor(server: TestServer, claim: ClaimResponse) {
    this.#server = server;
    this.claim = claim;
  }

  get id(): string {
    return this.claim.run.runId;
  }

  call(name: string, body: object = {}): Promise<Answer> {
    const authorization = `lease ${this.claim.leaseToken}`;
    return this.#server.call('POST', `${runnerContractPath}/${name}`, body, { authorization });
  }

  async heartbeat() {
    return runCallResponse.parse((await this.#mustCall('heartbeat', {})).body);
  }

  async job(): Promise<Job> {
    return jobResponse.parse((await this.#mustCall('job', {})).body).job;
  }

  /** Sends lines of one step: `# name` is a header, `[…` a notice. */
  async log(step: number, ...said: readonly (string | Pick<LogLine, 'text' | 'piece'>)[]) {
    const lines = said.map((each): LogLine => {
      const { text, piece } = typeof each === 'string' ? { text: each } : each;
      this.#sequence += 1;
      const kind = text.startsWith('# ') ? 'header' : text.startsWith('[') ? 'notice' : 'line';
      return {
        ...{ sequence: this.#sequence, step, kind, timestamp: new Date().toISOString() },
        ...{ text: kind === 'header' ? text.slice(2) : text, piece },
      };
    });
    await this.#mustCall('log', { lines });
  }

  async steps(...steps: readonly StepReport[]) {
    await this.#mustCall('steps', { steps });
  }

  async finish(request: Partial<FinishRequest> = {}) {
    const ending = { outcome: 'succeeded', phaseMilliseconds: {}, lastSequence: this.#sequence, ...request };
    await this.#mustCall('finish', ending);
  }

  async #mustCall(name: string, body: object): Promise<Answer> {
    const answer = await this.call(name, body);
    if (answer.status > 299)
      throw new Error(`${name} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer;
  }
}
