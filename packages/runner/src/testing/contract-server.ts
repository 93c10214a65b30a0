import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type ClaimRequest,
  claimRequest,
  completeSize,
  defaultRunSandbox,
  finishRequest,
  type ImageFailure,
  type ImagesRequest,
  imagesRequest,
  type Job,
  lackOf,
  lateLogRequest,
  logRequest,
  type RunOutline,
  registerRequest,
  runnerContractPath,
  type SharedEntry,
  stepsRequest,
  usageRequest,
  type WantedImage,
} from '@slipway/core';
import { ContractRun } from './contract-run.ts';

/**
 * - `lose`: the call is carried out, its answer is lost.
 * - `hang`: the call is neither carried out nor answered.
 * - `late`: the call is carried out, and answered a second later.
 * - a number: answered with that status, not carried out.
 */
type Failure = 'lose' | 'hang' | 'late' | number;

/**
 * The control plane's side of the runner contract, in memory, over real HTTP. It stands in for the real one where
 * tests need what the real one does not do on request: lost answers, silence, refusals.
 */
export class ContractServer {
  readonly runs: ContractRun[] = [];
  readonly claims: ClaimRequest[] = [];
  /** What runners are to prepare. */
  images: readonly WantedImage[] = [];
  /** Those that the runner told it could not prepare. */
  imageFailures: readonly ImageFailure[] = [];
  /** How long the runner was ready to wait when it asked last which images to prepare. */
  imagesWaitSeconds = 0;
  /** Claims that have no answer yet. */
  waitingClaims = 0;
  leaseSeconds = 30;
  heartbeatSeconds = 5;
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #sockets = new Set<Socket>();
  readonly #failures = new Map<string, Failure[]>();
  readonly #unwilling = new Map<string, number>();
  /** What other hosts share: the answer to every look-up, and how its bytes come. */
  sharedEntry: SharedEntry | undefined;
  sendBlob: (start: number, response: ServerResponse) => void = (_start, response) => response.destroy();
  /** Hears of each call about a run before it is carried out. */
  heard: (name: string) => void = () => undefined;
  #silent = false;
  #registrations = 0;

  static async start(): Promise<ContractServer> {
    const server = new ContractServer();
    server.#server.on('connection', (socket) => {
      server.#sockets.add(socket);
      socket.on('close', () => server.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  get registrations(): number {
    return this.#registrations;
  }

  queue(overrides: Partial<RunOutline> = {}, job: Partial<Job> = {}): ContractRun {
    const runId = `run-${randomUUID()}`;
    const stack = { organization: 'acme', project: 'shop', stack: 'dev' };
    const deployment = { id: randomUUID(), version: 1 };
    const run = new ContractRun(
      {
        ...{ runId, workflow: 'deployment', platform: 'linux/amd64', stack, operation: 'update', deployment },
        ...{ imageReference: null, sandbox: defaultRunSandbox, cache: null, graceSeconds: 60 },
        ...overrides,
      },
      {
        ...{ runId, workflow: 'deployment', stack, operation: 'update', deployment },
        ...{ jobToken: 'job-token-of-the-run', consoleUrl: '', environment: {}, preRunCommands: [] },
        source: { kind: 'git', repoUrl: 'https://git.example.com/shop.git' },
        options: {
          skipInstallDependencies: false,
          deleteAfterDestroy: false,
          remediateIfDriftDetected: false,
          cacheDependencies: false,
        },
        ...{ executorRootPath: '/', secrets: ['job-token-of-the-run'] },
        ...job,
      },
    );
    this.runs.push(run);
    return run;
  }

  /** The next calls of this name fail, one for each failure given. */
  fail(name: string, ...failures: Failure[]): void {
    this.#failures.set(name, [...(this.#failures.get(name) ?? []), ...failures]);
  }

  /** Every call of this name is answered with `status` and not carried out, until `status` is undefined. */
  refuse(name: string, status: number | undefined): void {
    if (status === undefined) this.#unwilling.delete(name);
    else this.#unwilling.set(name, status);
  }

  /** Nothing is answered any more, and every connection is cut. */
  goSilent(): void {
    this.#silent = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  comeBack(): void {
    this.#silent = false;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = request.url?.slice(runnerContractPath.length + 1) ?? '';
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (this.#silent) return void request.socket.destroy();
    const [, start] = /^cache-blob\?.*start=(\d+)/.exec(name) ?? [];
    if (start !== undefined) return this.sendBlob(Number(start), response);
    const failure = this.#unwilling.get(name) ?? this.#failures.get(name)?.shift();
    if (failure === 'hang') return;
    if (typeof failure === 'number')
      return send(response, failure, { code: failure, message: 'as the test asked' });
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const answer = await this.#carryOut(
      name,
      request.headers.authorization ?? '',
      body,
      () => response.destroyed,
    );
    if (failure === 'late') await delay(1_000);
    if (failure === 'lose') return void request.socket.destroy();
    send(response, answer.status, answer.body);
  }

  async #carryOut(
    name: string,
    authorization: string,
    body: unknown,
    isGone: () => boolean,
  ): Promise<{ status: number; body?: object }> {
    if (name === 'register') {
      registerRequest.parse(body);
      this.#registrations += 1;
      const { leaseSeconds, heartbeatSeconds } = this;
      return {
        status: 200,
        body: { runnerId: 'runner-1', poolName: 'default', leaseSeconds, heartbeatSeconds },
      };
    }
    if (name === 'claim') {
      this.waitingClaims += 1;
      return this.#claim(claimRequest.parse(body), isGone).finally(() => {
        this.waitingClaims -= 1;
      });
    }
    if (name === 'images') return this.#tellImages(imagesRequest.parse(body), isGone);
    const lostRun = this.runs.find((each) => authorization === `delivery ${each.deliveryToken}`);
    this.heard(name);
    if (lostRun) return this.#carryOutLate(lostRun, name, body);
    const run = this.runs.find((each) => authorization === `lease ${each.leaseToken}`);
    if (!run || run.fenced)
      return { status: 409, body: { code: 409, message: 'the lease is no longer yours' } };
    run.calls.push({ name, at: performance.now() });
    if (name === 'job') return { status: 200, body: { job: run.job } };
    if (name === 'image-credentials') return { status: 200, body: { credentials: run.imageCredentials } };
    if (name === 'cache-lookup') return { status: 200, body: { entry: this.sharedEntry ?? null } };
    if (name === 'cache-offer') return { status: 200, body: { isWanted: false, reason: 'of the test' } };
    if (name === 'log') run.take(logRequest.parse(body).lines);
    if (name === 'steps') {
      const { steps, sandbox } = stepsRequest.parse(body);
      run.steps = steps;
      run.sandbox = sandbox ?? run.sandbox;
    }
    if (name === 'usage') run.takeUsage(usageRequest.parse(body));
    if (name === 'finish') {
      run.finish = finishRequest.parse(body);
      if (run.finish.usage) run.takeUsage(run.finish.usage);
      return { status: 204 };
    }
    const command = run.cancelled ? { command: 'cancel' } : {};
    return { status: 200, body: command };
  }

  async #tellImages({ knownRevision, waitSeconds, failures }: ImagesRequest, isGone: () => boolean) {
    this.imageFailures = failures;
    this.imagesWaitSeconds = waitSeconds;
    const until = performance.now() + waitSeconds * 1000;
    for (;;) {
      const { images } = this;
      const revision = createHash('sha256').update(JSON.stringify(images)).digest('hex');
      if (revision !== knownRevision) return { status: 200, body: { revision, images } };
      const isOver = performance.now() >= until || !this.#server.listening || this.#silent;
      if (isOver || isGone()) return { status: 204 };
      await delay(20);
    }
  }

  #carryOutLate(run: ContractRun, name: string, body: unknown): { status: number; body?: object } {
    run.calls.push({ name, at: performance.now() });
    if (run.lost) return { status: 409, body: { code: 409, message: 'no lines are awaited' } };
    if (name === 'late-log') run.take(lateLogRequest.parse(body).lines);
    if (name === 'lost') run.lost = true;
    return { status: 204 };
  }

  async #claim(request: ClaimRequest, isGone: () => boolean) {
    this.claims.push(request);
    const { nonce, waitSeconds, capacity } = request;
    const until = performance.now() + waitSeconds * 1000;
    for (;;) {
      // As the real one: a run must not be claimed for nobody.
      if (isGone()) return { status: 204 };
      const run =
        this.runs.find((each) => each.nonce === nonce) ??
        this.runs.find(
          (each) =>
            each.nonce === undefined &&
            lackOf(completeSize(each.outline.sandbox, capacity.defaultSize), capacity.now) === undefined,
        );
      if (run) {
        run.nonce = nonce;
        run.leaseToken ||= randomUUID();
        run.deliveryToken ||= randomUUID();
        const { outline, leaseToken, deliveryToken } = run;
        const { leaseSeconds } = this;
        return { status: 200, body: { run: outline, leaseToken, leaseSeconds, deliveryToken } };
      }
      if (performance.now() >= until || !this.#server.listening || this.#silent) return { status: 204 };
      await delay(5);
    }
  }
}

function send(response: ServerResponse, status: number, body?: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body ? JSON.stringify(body) : undefined);
}
