import {
  type FinishRequest,
  type Job,
  type LogChunk,
  type LogLine,
  linesOf,
  type RegistryCredentials,
  type RunOutline,
  type SandboxFacts,
  type StepReport,
  type UsageReport,
  type UsageSample,
} from '@slipway/core';

/** What the control plane knows about one run. */
export class ContractRun {
  readonly outline: RunOutline;
  readonly job: Job;
  leaseToken = '';
  nonce: string | undefined;
  /** By sequence number: a batch that is sent again changes nothing. */
  readonly lines = new Map<number, LogLine>();
  deliveryToken = '';
  /** Its runner said that it was lost. */
  lost = false;
  readonly calls: { name: string; at: number }[] = [];
  steps: readonly StepReport[] = [];
  sandbox: SandboxFacts | undefined;
  finish: FinishRequest | undefined;
  usage: UsageReport['summary'] | undefined;
  /** By time: a sample that is sent again changes nothing. */
  readonly usageSamples = new Map<string, UsageSample>();
  cancelled = false;
  fenced = false;
  /** How the settings log in to the registry of the run's image. */
  imageCredentials: RegistryCredentials | null = null;

  constructor(outline: RunOutline, job: Job) {
    this.outline = outline;
    this.job = job;
  }

  take(chunks: readonly LogChunk[]): void {
    for (const { lineCount, ...chunk } of chunks) {
      const texts = linesOf({ lineCount, text: chunk.text });
      for (const [index, text] of texts.entries()) {
        const sequence = chunk.sequence + index;
        this.lines.set(sequence, { ...chunk, sequence, text });
      }
    }
  }

  takeUsage({ summary, samples }: UsageReport): void {
    this.usage = summary;
    for (const sample of samples) this.usageSamples.set(sample.at, sample);
  }

  count(name: string): number {
    return this.calls.filter((call) => call.name === name).length;
  }

  /** The log without headers, in order. */
  get text(): string[] {
    return this.sortedLines.filter((line) => line.kind !== 'header').map((line) => line.text);
  }

  get sortedLines(): LogLine[] {
    return [...this.lines.values()].sort((a, b) => a.sequence - b.sequence);
  }
}
