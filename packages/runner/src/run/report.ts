import type { LeftOut, RunCallResponse, SandboxFacts, StepReport, StepStatus } from '@slipway/core';
import { pause } from '../control-plane-client/retry.ts';
import type { RoomPatience } from '../host-disk.ts';
import type { NewLine } from '../log-spool/chunk.ts';
import type { LogLimit } from '../log-spool/log-limit.ts';
import { sendLog } from '../log-spool/log-sender.ts';
import type { LogSpool } from '../log-spool/log-spool.ts';
import type { Ending } from './ending.ts';
import { StepList } from './step-list.ts';

const setupStep = 0;
const betweenStepReportsMilliseconds = 50;

/** How the report reaches the control plane: each settles when it was stored, and rejects when it never will be. */
export interface ReportCalls {
  log(lines: Buffer): Promise<RunCallResponse>;
  steps(steps: readonly StepReport[], sandbox: SandboxFacts | undefined): Promise<RunCallResponse>;
}

export interface ReportOptions {
  readonly calls: ReportCalls;
  readonly spool: LogSpool;
  readonly limit: LogLimit;
  /** Aborted when the control plane takes nothing about this run any more. */
  readonly gone: AbortSignal;
  /** Aborted when the run ends: whoever waits for room in the spool waits no longer. */
  readonly stopped: AbortSignal;
  readonly now: () => Date;
  /** How lines wait for room when the disk of this host is full. */
  readonly roomPatience: RoomPatience;
  /** The control plane refuses the report: the run cannot go on. */
  readonly refused: (error: unknown) => void;
}

/** What a run tells while it runs: lines and steps. Both are kept until the control plane has stored them. */
export class RunReport {
  readonly #options: ReportOptions;
  readonly #spool: LogSpool;
  readonly #steps = new StepList();
  readonly #closed = new AbortController();
  readonly #senders: Promise<void>;
  #sandbox: SandboxFacts | undefined;
  #stepsChanged = Promise.withResolvers<void>();
  /** Counts the changes of the steps, and up to which one the control plane knows them. */
  #stepsVersion = 0;
  #storedStepsVersion = 0;

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#spool = options.spool;
    this.#senders = this.#sendAll();
  }

  /** Number of the last line of the log. */
  get lastSequence(): number {
    return this.#spool.lastSequence;
  }

  /** A line of the step `Setup`. The first one starts it. */
  async setup(text: string): Promise<void> {
    const timestamp = this.#timestamp();
    const lines: NewLine[] = [{ step: setupStep, kind: 'line', timestamp, text }];
    if (this.#steps.reports[setupStep]?.status === 'not-started') {
      this.moveStep(setupStep, 'running', timestamp);
      lines.unshift(this.headerOf(setupStep, timestamp));
    }
    await this.append(lines);
  }

  /** The executor has its job. */
  setupDone(): void {
    this.moveStep(setupStep, 'succeeded', this.#timestamp());
  }

  /** The steps after `Setup`. */
  plan(names: readonly string[]): void {
    this.#steps.plan(names);
    this.#sendSteps();
  }

  moveStep(step: number, status: StepStatus, timestamp: string): void {
    this.#steps.move(step, status, timestamp);
    this.#sendSteps();
  }

  /** The line that stands before those of a step. */
  headerOf(step: number, timestamp: string): NewLine {
    return { step, kind: 'header', timestamp, text: this.#steps.nameOf(step) };
  }

  /** What the run really runs on. */
  sandboxIs(facts: SandboxFacts): void {
    this.#sandbox = facts;
    this.#sendSteps();
  }

  /** Takes lines in order; waits while the spool is full. Steps count from `Setup`, which is 0. */
  append(lines: readonly NewLine[]): Promise<void> {
    const { limit, stopped, roomPatience } = this.#options;
    return this.#spool.append(limit.take(lines), stopped, roomPatience);
  }

  /** Whether the log takes no more than its last lines. */
  get logIsFull(): boolean {
    return this.#options.limit.isReached;
  }

  /** What the executor has not sent since the log was full, before the lines that come next. */
  leaveOut(leftOut: LeftOut): void {
    this.#options.limit.leaveOut(leftOut);
  }

  /**
   * The last words of a run, and then everything stored at the control plane. Answers also when that has become
   * impossible: then the control plane has given the run up, or refuses its report.
   */
  async complete(ending: Ending, lastLines: readonly string[]): Promise<void> {
    const timestamp = this.#timestamp();
    const lines = [
      ...this.#options.limit.end(),
      ...lastLines.map((text): NewLine => ({ step: setupStep, kind: 'notice', timestamp, text })),
    ];
    // The run has ended, so the signal that says so must not hold these back. Where the disk is full they are not said.
    await this.#spool.append(lines, this.#options.gone, { milliseconds: 0 }).catch(() => undefined);
    this.#steps.endRunning(ending.outcome, timestamp);
    this.#sendSteps();
    while (!this.#closed.signal.aborted && (!this.#spool.isEmpty || this.#stepsToStore)) {
      await Promise.race([this.#spool.changed, this.#stepsChanged.promise]);
    }
  }

  /** Nothing is sent any more. */
  async close(): Promise<void> {
    this.#close();
    await this.#senders;
  }

  #sendSteps(): void {
    this.#stepsVersion += 1;
    this.#signalSteps();
  }

  get #stepsToStore(): boolean {
    return this.#storedStepsVersion < this.#stepsVersion;
  }

  #signalSteps(): void {
    this.#stepsChanged.resolve();
    this.#stepsChanged = Promise.withResolvers<void>();
  }

  #close(): void {
    this.#closed.abort();
    this.#spool.wake();
    this.#signalSteps();
  }

  async #sendAll(): Promise<void> {
    const { gone, refused } = this.#options;
    const close = () => this.#close();
    gone.addEventListener('abort', close, { once: true });
    try {
      await Promise.all([this.#sendLog(), this.#sendStepReports()]);
    } catch (error) {
      if (!gone.aborted) refused(error);
      this.#close();
    } finally {
      gone.removeEventListener('abort', close);
    }
  }

  async #sendLog(): Promise<void> {
    const { calls } = this.#options;
    await sendLog(this.#spool, async (lines) => void (await calls.log(lines)), this.#closed.signal);
  }

  /** The newest state of all steps, again whenever it has changed. */
  async #sendStepReports(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const { promise: changed } = this.#stepsChanged;
      if (!this.#stepsToStore) {
        await changed;
        continue;
      }
      const version = this.#stepsVersion;
      await this.#options.calls.steps([...this.#steps.reports], this.#sandbox);
      this.#storedStepsVersion = version;
      this.#signalSteps();
      await pause(betweenStepReportsMilliseconds, this.#closed.signal).catch(() => undefined);
    }
  }

  #timestamp(): string {
    return this.#options.now().toISOString();
  }
}
