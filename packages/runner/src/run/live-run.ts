import {
  type ClaimResponse,
  completeSize,
  maskPatterns,
  maskWith,
  type NetworkSettings,
  type RunCallResponse,
  type RunOutline,
  type SandboxSize,
  type SecretPatterns,
} from '@slipway/core';
import { CacheCalls } from '../control-plane-client/cache-calls.ts';
import { RunCalls } from '../control-plane-client/calls.ts';
import type { Connection } from '../control-plane-client/connection.ts';
import { Fenced } from '../control-plane-client/failures.ts';
import { promptBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import type { SharedEntries } from '../dependency-cache/shared-entries.ts';
import { roomPatienceSeconds } from '../host-disk.ts';
import type { ImageAttempts } from '../image-attempts.ts';
import type { Sandbox } from '../isolation/isolation.ts';
import type { LateDeliveries } from '../late-delivery/late-deliveries.ts';
import { LogLimit } from '../log-spool/log-limit.ts';
import { SpoolFolder } from '../log-spool/spool-folder.ts';
import type { RunnerLog, RunnerOptions, RunnerParts } from '../runner-options.ts';
import { Cancellation } from './cancellation.ts';
import { RunEgress } from './egress.ts';
import { RunEnded } from './ending.ts';
import { HeldResources } from './held-resources.ts';
import { Lease } from './lease.ts';
import { type MonotonicClock, Phases } from './phases.ts';
import { RunReport } from './report.ts';
import { TimeLimitWatch } from './time-limits.ts';
import { RunUsage } from './usage/run-usage.ts';
import type { WarmPool } from './warm-pool/warm-pool.ts';

/** What every run of one runner shares. */
export interface RunnerContext {
  readonly options: RunnerOptions;
  readonly parts: RunnerParts;
  readonly connection: Connection;
  readonly network: NetworkSettings;
  /** Takes the lines of runs that this runner has to give up. */
  readonly lateDeliveries: LateDeliveries;
  readonly heartbeatSeconds: number;
  readonly clock: MonotonicClock;
  /** What this host shares of the dependency caches; undefined where it keeps none. */
  readonly sharedEntries: SharedEntries | undefined;
  /** What came of images that were to be made ready ahead of time. */
  readonly imageAttempts: ImageAttempts;
  /** Sandboxes that wait for runs; undefined where none are kept. */
  readonly warmPool: WarmPool | undefined;
}

/** One run that this runner holds, from claim to finish: what its stages share. */
export class LiveRun {
  readonly context: RunnerContext;
  readonly outline: RunOutline;
  readonly calls: RunCalls;
  readonly cacheCalls: CacheCalls;
  readonly log: RunnerLog;
  readonly phases: Phases;
  readonly resources: HeldResources;
  readonly cancellation: Cancellation;
  readonly timeLimits: TimeLimitWatch;
  readonly egress: RunEgress;
  readonly usage: RunUsage;
  readonly lease: Lease;
  /** Takes the lines of the log until the control plane has stored them. */
  readonly spool: SpoolFolder;
  readonly report: RunReport;
  /** Whether the control plane may have handed out the job. Before that the run has done nothing. */
  jobWasAskedFor = false;
  /** Set as soon as there is one. */
  sandbox: Sandbox | undefined;
  readonly #stop = new AbortController();
  readonly #underWay = Promise.withResolvers<void>();
  #secrets: SecretPatterns = maskPatterns([]);

  constructor(context: RunnerContext, claim: ClaimResponse) {
    const { options, connection, clock, heartbeatSeconds } = context;
    const { runId, sandbox, graceSeconds } = claim.run;
    // First of all, since it can fail: a run that holds nothing yet is queued again by itself.
    const { deliveryToken } = claim;
    this.spool = SpoolFolder.create(options.dataDirectory, {
      ...{ runId, deliveryToken, serverUrl: options.serverUrl },
    });
    this.context = context;
    this.outline = claim.run;
    this.calls = new RunCalls(connection, claim.leaseToken);
    this.cacheCalls = new CacheCalls(connection, claim.leaseToken);
    this.log = withRun(options.log, claim.run.runId);
    this.phases = new Phases(clock);
    this.resources = new HeldResources(this.log);
    this.egress = new RunEgress(this.log, () => new Date());
    this.usage = new RunUsage({
      ...{ size: this.size, clock, now: () => new Date(), log: this.log },
      send: (report) => this.#obeyed(this.ask(() => this.calls.usage(report))),
    });
    this.cancellation = new Cancellation((reason) => this.stop(reason));
    this.timeLimits = new TimeLimitWatch(sandbox.timeLimits, (sentence) =>
      this.cancellation.request('timed-out', graceSeconds, sentence),
    );
    this.lease = new Lease({
      leaseSeconds: claim.leaseSeconds,
      heartbeatSeconds,
      heartbeat: () => this.calls.heartbeat(),
      clock,
      log: this.log,
      answered: (answer) => this.#obey(answer),
      runsOut: () => this.stop(new RunEnded('runner-lost', 'The runner could not renew its lease in time.')),
    });
    const { gone } = this.lease;
    gone.addEventListener('abort', () => this.stop(gone.reason), { once: true });
    this.report = new RunReport({
      calls: {
        log: (lines) => this.#obeyed(this.ask(() => this.calls.log(lines))),
        steps: (steps, sandbox) => this.#obeyed(this.ask(() => this.calls.steps(steps, sandbox))),
      },
      spool: this.spool.lines,
      limit: new LogLimit(sandbox.logMiB),
      gone,
      stopped: this.stopped,
      now: () => new Date(),
      roomPatience: {
        milliseconds: (options.roomPatienceSeconds ?? roomPatienceSeconds) * 1000,
        waits: () => this.log.warn({}, 'The disk of this host is full: the log of a run waits for room'),
      },
      refused: (error) => this.stop(error),
    });
  }

  get size(): SandboxSize {
    return completeSize(this.outline.sandbox, this.context.options.size);
  }

  /** Settles when the executor has told its first line. */
  get underWay(): Promise<void> {
    return this.#underWay.promise;
  }

  isUnderWay(): void {
    this.#underWay.resolve();
  }

  /** Aborted when the run must end before it has a result; the reason is the error that says why. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** Ends the run at once. The first reason counts. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  /** Waits for `work`, but not longer than the run is allowed to go on. */
  async unlessStopped<T>(work: Promise<T>): Promise<T> {
    // Whoever stops does not wait for the work, nor for its failure.
    work.catch(() => undefined);
    this.stopped.throwIfAborted();
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(this.stopped.reason);
    this.stopped.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([work, stopped.promise]);
    } finally {
      this.stopped.removeEventListener('abort', stop);
    }
  }

  /** A call about this run: repeated until it is answered, or until the run is certainly no longer this runner's. */
  async ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await untilAnswered(call, { signal: this.lease.gone, backOff: promptBackOff });
    } catch (error) {
      if (error instanceof Fenced) this.lease.fence(error);
      throw error;
    }
  }

  /** From now on these texts are hidden in all that the run tells. */
  hide(secrets: readonly string[]): void {
    this.#secrets = maskPatterns(secrets);
  }

  mask(text: string): string {
    return maskWith(this.#secrets, text);
  }

  async #obeyed(answer: Promise<RunCallResponse>): Promise<RunCallResponse> {
    const answered = await answer;
    this.#obey(answered);
    return answered;
  }

  #obey({ command }: RunCallResponse): void {
    if (command === 'cancel') this.cancellation.request('cancelled', this.outline.graceSeconds);
  }
}

function withRun(log: RunnerLog, runId: string): RunnerLog {
  return {
    info: (fields, message) => log.info({ runId, ...fields }, message),
    warn: (fields, message) => log.warn({ runId, ...fields }, message),
    error: (fields, message) => log.error({ runId, ...fields }, message),
  };
}
