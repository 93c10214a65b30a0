import {
  describeUsage,
  maximumReportedSamples,
  type SandboxSize,
  type UsageReport,
  type UsageSample,
} from '@slipway/core';
import { pause } from '../../control-plane-client/retry.ts';
import type { Sandbox } from '../../isolation/isolation.ts';
import type { RunnerLog } from '../../runner-options.ts';
import type { MonotonicClock } from '../phases.ts';
import { UsageMeter } from './usage-meter.ts';

const betweenReportsMilliseconds = 5_000;

export interface RunUsageOptions {
  readonly size: SandboxSize;
  readonly clock: MonotonicClock;
  readonly now: () => Date;
  readonly log: RunnerLog;
  /** Settles when it was stored, and rejects when it never will be. */
  readonly send: (report: UsageReport) => Promise<unknown>;
}

/** What a run uses: looked at each second for as long as there is a sandbox, and told every few. */
export class RunUsage {
  readonly #options: RunUsageOptions;
  #meter: UsageMeter | undefined;
  readonly #ended = new AbortController();
  #measuring: Promise<void> = Promise.resolve();
  #sending: Promise<void> = Promise.resolve();
  /** What the control plane has not stored yet. It is a minute's worth at most, as the lease ends before. */
  #unstored: UsageSample[] = [];

  constructor(options: RunUsageOptions) {
    this.#options = options;
  }

  /** From now on the sandbox is looked at; one that is not new has used something before it was this run's. */
  begin(sandbox: Pick<Sandbox, 'usage'>, { sandboxIsNew }: { readonly sandboxIsNew: boolean }): void {
    const meter = new UsageMeter({ cpus: this.#options.size.cpus, sandboxIsNew });
    this.#meter = meter;
    this.#measuring = this.#measure(sandbox, meter).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'What a run uses could not be told');
    });
  }

  /** A last look, while there is a sandbox. Answers soon, also when the sandbox does not. */
  async end(): Promise<void> {
    this.#ended.abort();
    await this.#measuring;
  }

  /** Nothing is on its way any more. */
  settled(): Promise<void> {
    return this.#sending;
  }

  /** What is to be told still; undefined when nothing was seen. */
  get report(): UsageReport | undefined {
    const summary = this.#meter?.summary;
    if (!summary?.sandbox && !summary?.host) return undefined;
    return { summary, samples: this.#unstored.slice(-maximumReportedSamples) };
  }

  /** One line for the log; undefined when nothing was seen. */
  get line(): string | undefined {
    return this.#meter && describeUsage(this.#meter.summary, this.#options.size);
  }

  async #measure(sandbox: Pick<Sandbox, 'usage'>, meter: UsageMeter): Promise<void> {
    const { clock, now } = this.#options;
    const { signal } = this.#ended;
    const beganAt = clock();
    const ageSeconds = () => (clock() - beganAt) / 1000;
    let reportedAt = beganAt;
    while (!signal.aborted) {
      this.#keep(meter.take(await sandbox.usage(), ageSeconds(), now()));
      if (clock() - reportedAt >= betweenReportsMilliseconds) {
        reportedAt = clock();
        this.#sending = this.#sending.then(() => this.#send());
      }
      // Until the next full second.
      await pause(1000 - ((clock() - beganAt) % 1000), signal).catch(() => undefined);
    }
    this.#keep(meter.take(await sandbox.usage(), ageSeconds(), now()));
    this.#keep(meter.end(ageSeconds(), now()));
  }

  #keep(sample: UsageSample | undefined): void {
    if (!sample) return;
    this.#unstored.push(sample);
    if (this.#unstored.length > maximumReportedSamples) this.#unstored.shift();
  }

  async #send(): Promise<void> {
    const { report } = this;
    if (!report || this.#ended.signal.aborted) return;
    try {
      await this.#options.send(report);
      this.#unstored = this.#unstored.filter((sample) => !report.samples.includes(sample));
    } catch (error) {
      // The run is another's by now, or its end will bring the rest.
      this.#options.log.warn({ err: error }, 'What a run uses could not be reported');
    }
  }
}
