import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import {
  type ClaimResponse,
  leaseTimingOf,
  platform,
  type RegisterRequest,
  type RegisterResponse,
} from '@slipway/core';
import { CapacityLedger } from './capacity/capacity-ledger.ts';
import { PoolCalls } from './control-plane-client/calls.ts';
import { Connection } from './control-plane-client/connection.ts';
import { CallRefused, Fenced } from './control-plane-client/failures.ts';
import { patientBackOff, pause, untilAnswered } from './control-plane-client/retry.ts';
import { checkServerUrl } from './control-plane-client/server-url.ts';
import { cacheDiskSizeGiB } from './dependency-cache/cache-disk-size.ts';
import { SharedEntries } from './dependency-cache/shared-entries.ts';
import { ImageAttempts } from './image-attempts.ts';
import { prepareImages } from './image-preparation.ts';
import { LateDeliveries } from './late-delivery/late-deliveries.ts';
import { networkSettings } from './network-settings.ts';
import { OrphanWatch } from './orphan-watch.ts';
import { PauseWatch } from './pause.ts';
import { type Claimed, Claims } from './run/claim.ts';
import { LiveRun, type RunnerContext } from './run/live-run.ts';
import { refuseRun } from './run/refuse.ts';
import { executeRun } from './run/run.ts';
import { WarmPool, type WarmPoolOptions } from './run/warm-pool/warm-pool.ts';
import type { RunnerOptions, RunnerParts } from './runner-options.ts';
import { version } from './version.ts';

const refusedPauseMilliseconds = 10_000;
const unknownPauseMilliseconds = 500;

/** A runner that works for a pool. */
export interface Runner {
  readonly runnerId: string;
  readonly poolName: string;
  /** Where runs execute, in one sentence; names software emulation where there is no hardware acceleration. */
  readonly isolationSentence: string;
  /** How many runs execute now. */
  readonly liveRuns: number;
  /** How many sandboxes wait for runs, ready. */
  readonly warmSandboxes: number;
  /**
   * Claims nothing more, cancels what runs and gives it `graceSeconds` (by default each run's own grace), and answers
   * when every run is finished. Asking again with a shorter grace hurries it.
   */
  stop(graceSeconds?: number): Promise<void>;
  /** Claims nothing more; answers when what runs has ended by itself, or after `seconds`. */
  drain(seconds: number): Promise<void>;
}

/**
 * Registers with the control plane and executes runs, `slots` at a time, until it is stopped. A control plane that is
 * not there yet is waited for. Rejects when the options are wrong or the pool token is refused. `parts` are closed at
 * the end, and also when this rejects.
 */
export async function startRunner(
  options: RunnerOptions,
  parts: RunnerParts,
  signal: AbortSignal = new AbortController().signal,
): Promise<Runner> {
  try {
    const server = checkServerUrl(options.serverUrl, options.insecureHttp ?? false);
    await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 });
    const connection = new Connection(server, options.serverCertificateAuthority);
    const calls = new PoolCalls(connection, options.poolToken);
    const registered = await register(calls, options, signal);
    // Better now than with the first run: a lease that would not be safe is refused.
    leaseTimingOf(registered.leaseSeconds);
    return new PoolRunner(options, parts, connection, calls, registered);
  } catch (error) {
    await parts.close();
    throw error;
  }
}

class PoolRunner implements Runner {
  readonly poolName: string;
  readonly isolationSentence: string;
  readonly #options: RunnerOptions;
  readonly #context: RunnerContext;
  readonly #calls: PoolCalls;
  readonly #claims: Claims;
  readonly #live = new Set<LiveRun>();
  readonly #draining = new AbortController();
  readonly #stopping = new AbortController();
  readonly #pause: PauseWatch;
  readonly #orphans: OrphanWatch;
  readonly #lateDeliveries: LateDeliveries;
  readonly #stopped: Promise<void>;
  #registered: RegisterResponse;

  constructor(
    options: RunnerOptions,
    parts: RunnerParts,
    connection: Connection,
    calls: PoolCalls,
    registered: RegisterResponse,
  ) {
    this.poolName = registered.poolName;
    this.isolationSentence = parts.isolationSentence;
    this.#options = options;
    this.#calls = calls;
    this.#pause = new PauseWatch(options.dataDirectory);
    this.#orphans = new OrphanWatch(parts, options.log);
    const ledger = new CapacityLedger(options.isolation, options.capacity, parts.measureHost);
    this.#claims = new Claims(calls, {
      ledger,
      pause: this.#pause,
      defaultSize: options.size,
      cacheDiskGiB: cacheDiskSizeGiB(options.isolation, parts.dependencyCache !== undefined),
      log: options.log,
    });
    this.#registered = registered;
    const sharedEntries = openSharedEntries(options, parts);
    const { dataDirectory, serverUrl, log } = options;
    this.#lateDeliveries = new LateDeliveries({ dataDirectory, serverUrl, connection, log });
    this.#lateDeliveries.takeUpLeftBehind();
    const clock = () => performance.now();
    const { guestSilenceSeconds } = leaseTimingOf(registered.leaseSeconds);
    const warmPool = openWarmPool({ options, parts, clock, ledger, pause: this.#pause }, guestSilenceSeconds);
    this.#draining.signal.addEventListener('abort', () => void warmPool?.close(), { once: true });
    this.#context = {
      options,
      parts,
      connection,
      network: networkSettings(options),
      lateDeliveries: this.#lateDeliveries,
      heartbeatSeconds: registered.heartbeatSeconds,
      clock,
      sharedEntries,
      imageAttempts: new ImageAttempts(),
      warmPool,
    };
    const slots = Array.from({ length: options.slots }, () => this.#workSlot());
    const preparation = prepareImages(
      {
        ...{ calls, images: parts.images, defaultImage: options.defaultImage, log: options.log },
        ...{ runnerId: () => this.runnerId, now: Date.now },
        attempts: this.#context.imageAttempts,
      },
      this.#draining.signal,
    );
    this.#stopped = Promise.all([...slots, preparation]).then(async () => {
      await warmPool?.close();
      this.#pause.close();
      await this.#orphans.close();
      await this.#lateDeliveries.close();
      await sharedEntries?.stop();
      connection.close();
      await parts.close();
    });
  }

  get runnerId(): string {
    return this.#registered.runnerId;
  }

  get liveRuns(): number {
    return this.#live.size;
  }

  get warmSandboxes(): number {
    return this.#context.warmPool?.readyCount ?? 0;
  }

  stop(graceSeconds?: number): Promise<void> {
    const reason = new Error('the runner is being stopped');
    this.#draining.abort(reason);
    this.#stopping.abort(reason);
    for (const { cancellation, outline } of this.#live) {
      cancellation.request('runner-shutdown', graceSeconds ?? outline.graceSeconds);
    }
    return this.#stopped;
  }

  async drain(seconds: number): Promise<void> {
    this.#draining.abort(new Error('the runner is being drained'));
    const late = new AbortController();
    await Promise.race([this.#stopped, pause(seconds * 1000, late.signal).catch(() => undefined)]);
    late.abort();
  }

  /** One run after the other. Nothing that goes wrong with one of them ends the slot. */
  async #workSlot(): Promise<void> {
    const { signal } = this.#draining;
    while (!signal.aborted) {
      try {
        await this.#claimAndExecute(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.error({ err: error }, 'No run could be claimed; trying again');
        const unknown = isUnknownRunner(error);
        await pause(unknown ? unknownPauseMilliseconds : refusedPauseMilliseconds, signal).catch(() => {});
        if (unknown) await this.#registerAgain(signal);
      }
    }
  }

  async #claimAndExecute(signal: AbortSignal): Promise<void> {
    const { isolation } = this.#options;
    const startedAt = this.#context.clock();
    const who = { runnerId: this.runnerId, platform: platform.enum['linux/amd64'], isolation };
    const claimed = await this.#claims.next(who, signal);
    try {
      await this.#execute(claimed, startedAt);
    } finally {
      claimed.release();
    }
  }

  async #execute({ claim }: Claimed, startedAt: number): Promise<void> {
    const run = await this.#hold(claim);
    if (!run) return;
    run.phases.record('claim', this.#context.clock() - startedAt);
    this.#live.add(run);
    const ownsProcessors = this.#context.warmPool?.runStarts();
    if (ownsProcessors) void run.underWay.then(ownsProcessors);
    // Stopped while the claim was being answered: the run ends before it has done anything.
    if (this.#stopping.signal.aborted) run.cancellation.request('runner-shutdown', 0);
    try {
      await executeRun(run);
    } finally {
      run.isUnderWay();
      this.#live.delete(run);
    }
  }

  /** Undefined when this host cannot hold it; then it has ended. */
  async #hold(claim: ClaimResponse): Promise<LiveRun | undefined> {
    try {
      return new LiveRun(this.#context, claim);
    } catch (error) {
      await refuseRun(this.#context, claim, error);
      return undefined;
    }
  }

  async #registerAgain(signal: AbortSignal): Promise<void> {
    try {
      this.#registered = await register(this.#calls, this.#options, signal);
    } catch (error) {
      if (!signal.aborted) this.#options.log.error({ err: error }, 'The runner could not register again');
    }
  }
}

function register(calls: PoolCalls, options: RunnerOptions, signal: AbortSignal): Promise<RegisterResponse> {
  const request: RegisterRequest = {
    hostname: hostname(),
    pid: process.pid,
    version,
    platform: platform.enum['linux/amd64'],
    isolation: options.isolation,
    slots: options.slots,
  };
  return untilAnswered(() => calls.register(request, signal), {
    signal,
    backOff: patientBackOff,
    failed: (error, tries) => options.log.warn({ err: error, tries }, 'Waiting for the control plane'),
  });
}

function openSharedEntries(options: RunnerOptions, parts: RunnerParts): SharedEntries | undefined {
  const { dependencyCache: store, blobFormats: formats } = parts;
  if (store === undefined || formats === undefined) return undefined;
  return new SharedEntries({
    store,
    formats,
    failed: (error, what) => options.log.warn({ err: error }, what),
  });
}

function openWarmPool(
  about: Omit<WarmPoolOptions, 'count' | 'kinds'>,
  silenceSeconds: number,
): WarmPool | undefined {
  const { warm, defaultImage, size } = about.options;
  if (warm === undefined || warm.count === 0) return undefined;
  const images = new Set(warm.images.length > 0 ? warm.images : [defaultImage]);
  const kinds = [...images].map((imageReference) => ({ imageReference, size, silenceSeconds }));
  return new WarmPool({ ...about, count: warm.count, kinds });
}

/** The control plane does not know this runner: its database is another one than at the start. */
function isUnknownRunner(error: unknown): boolean {
  return error instanceof Fenced || (error instanceof CallRefused && error.status === 404);
}
