import type { ResourceUse, SandboxSize } from '@slipway/core';
import { networkTraffic, processUse } from '../host-counters.ts';
import type { UsageReading, UseReading } from '../usage-reading.ts';
import type { VolumeFile } from '../volume-file.ts';
import { AnswerWatch, type AnswerWatchOptions } from './answer-watch.ts';
import type { GuestReports, GuestUsage } from './guest-reports.ts';

const mebibyte = 1024 ** 2;
/** Guest and host begin to count at different moments, and cut the same bytes into different packets. */
const toleratedMilliseconds = 1_000;
const toleratedTraffic = { times: 2, bytes: mebibyte };

export interface MachineUsageOptions {
  readonly size: SandboxSize;
  /** Of QEMU; undefined as long as that is not known. */
  readonly processId: () => number | undefined;
  readonly volume: VolumeFile;
  readonly reports: GuestReports;
  /** To the guest's init. */
  readonly send: (message: string) => void;
  readonly answers: AnswerWatchOptions;
}

/** What was used of all processors at a moment. */
interface ProcessorTime {
  readonly cpuMilliseconds: number;
  readonly atMilliseconds: number;
}

/** What a virtual machine uses, by its guest's word and as the host sees it. */
export class MachineUsage {
  readonly #options: MachineUsageOptions;
  readonly #answers: AnswerWatch;
  readonly #made: ProcessorTime = { cpuMilliseconds: 0, atMilliseconds: performance.now() };
  #host: UseReading | null = null;
  /** What the guest said first: a machine may have waited for long before anybody asked. */
  #first: ProcessorTime | undefined;

  constructor(options: MachineUsageOptions) {
    this.#options = options;
    this.#answers = new AnswerWatch(options.answers);
  }

  /** `answers`: whether the guest can be asked; what it has told last is taken otherwise. */
  async read(answers: boolean): Promise<UsageReading> {
    const { reports, send } = this.#options;
    if (answers) await reports.askUsage(send);
    this.#lookAtHost();
    if (answers) this.#answers.asked(reports.usage, this.#host?.use.cpuMilliseconds ?? 0, performance.now());
    else this.#answers.notAsked();
    return { sandbox: reports.usage ? this.#believed(reports.usage) : null, host: this.#host };
  }

  /** Once QEMU is gone, what it used last stays. */
  #lookAtHost(): void {
    const { volume } = this.#options;
    const processId = this.#options.processId();
    if (processId === undefined) return;
    try {
      this.#host = {
        use: { ...processUse(processId), ...networkTraffic(processId), volumeBytes: volume.allocatedBytes },
        atMilliseconds: performance.now(),
      };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  /** A guest may say anything: nothing is taken that this machine cannot have used. */
  #believed({ uptimeMilliseconds, cpuMicroseconds, ...told }: GuestUsage): UseReading {
    const { cpus, memoryMiB, volumeGiB } = this.#options.size;
    const mostTraffic = (counted = 0) => counted * toleratedTraffic.times + toleratedTraffic.bytes;
    const use: ResourceUse = {
      cpuMilliseconds: this.#believedProcessors(Math.round(cpuMicroseconds / 1000), cpus),
      memoryBytes: Math.min(told.memoryBytes, memoryMiB * mebibyte),
      volumeBytes: Math.min(told.volumeBytes, volumeGiB * 1024 * mebibyte),
      receivedBytes: Math.min(told.receivedBytes, mostTraffic(this.#host?.use.receivedBytes)),
      sentBytes: Math.min(told.sentBytes, mostTraffic(this.#host?.use.sentBytes)),
    };
    return { use, atMilliseconds: uptimeMilliseconds };
  }

  /** No more than the processors can have done since the machine was made, and since its guest was first asked. */
  #believedProcessors(toldMilliseconds: number, cpus: number): number {
    const now = performance.now();
    const mostSince = ({ cpuMilliseconds, atMilliseconds }: ProcessorTime) =>
      Math.round(cpuMilliseconds + cpus * (now - atMilliseconds + toleratedMilliseconds));
    const cpuMilliseconds = Math.min(
      toldMilliseconds,
      mostSince(this.#made),
      mostSince(this.#first ?? this.#made),
    );
    this.#first ??= { cpuMilliseconds, atMilliseconds: now };
    return cpuMilliseconds;
  }
}
