import { sampleSecondsAt, type UsageSample, type UsageSummary } from '@slipway/core';
import type { UsageReading } from '../../isolation/usage-reading.ts';
import { PlaceMeter } from './place-meter.ts';

/** Makes samples and the summary of a run out of readings, one each second. */
export class UsageMeter {
  readonly #sandbox: PlaceMeter;
  readonly #host: PlaceMeter;
  #sampleBeganAtSeconds = 0;

  /** `sandboxIsNew`: all that it has used so far was for this run. */
  constructor({ cpus, sandboxIsNew }: { readonly cpus: number; readonly sandboxIsNew: boolean }) {
    this.#sandbox = new PlaceMeter(cpus, !sandboxIsNew);
    // What a virtual machine's disks and network take of the host comes on top of its processors.
    this.#host = new PlaceMeter(Number.POSITIVE_INFINITY, !sandboxIsNew);
  }

  /** Takes a reading of a run of this age. Answers a sample where one is complete. */
  take(reading: UsageReading, ageSeconds: number, now: Date): UsageSample | undefined {
    if (reading.sandbox) this.#sandbox.take(reading.sandbox);
    if (reading.host) this.#host.take(reading.host);
    const began = this.#sampleBeganAtSeconds;
    return Math.round(ageSeconds) - began >= sampleSecondsAt(began)
      ? this.#sample(ageSeconds, now)
      : undefined;
  }

  /** The sample that is not complete, at the end. */
  end(ageSeconds: number, now: Date): UsageSample | undefined {
    return ageSeconds > this.#sampleBeganAtSeconds ? this.#sample(ageSeconds, now) : undefined;
  }

  get summary(): UsageSummary {
    return { sandbox: this.#sandbox.peaks, host: this.#host.peaks };
  }

  #sample(ageSeconds: number, now: Date): UsageSample | undefined {
    const seconds = Math.max(1, Math.round(ageSeconds) - this.#sampleBeganAtSeconds);
    this.#sampleBeganAtSeconds += seconds;
    const [sandbox, host] = [this.#sandbox.sample(), this.#host.sample()];
    return sandbox || host ? { at: now.toISOString(), seconds, sandbox, host } : undefined;
  }
}
