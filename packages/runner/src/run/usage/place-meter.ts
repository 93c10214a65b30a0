import type { ResourcePeaks, ResourceUse } from '@slipway/core';
import type { UseReading } from '../../isolation/usage-reading.ts';

/** Over less time than this, how busy processors were says little: the kernel counts in ticks, and readings come late. */
const leastRateMilliseconds = 500;

/** Follows what a run uses as one kernel counts it. Readings may be late, repeated or false. */
export class PlaceMeter {
  readonly #mostCpus: number;
  readonly #countsFromFirst: boolean;
  #first: ResourceUse | undefined;
  #latest: ResourceUse | undefined;
  /** The reading up to which `#peakCpus` was looked for. */
  #rated: UseReading | undefined;
  #peakCpus = 0;
  #peakMemoryBytes = 0;
  #peakVolumeBytes = 0;
  /** Since the last sample. */
  #most = { memoryBytes: 0, volumeBytes: 0 };

  /** So many processors can it keep busy. `countsFromFirst`: what was used before the first reading is somebody else's. */
  constructor(mostCpus: number, countsFromFirst: boolean) {
    this.#mostCpus = mostCpus;
    this.#countsFromFirst = countsFromFirst;
  }

  take(reading: UseReading): void {
    this.#first ??= reading.use;
    const use = this.#countsFromFirst ? since(this.#first, reading.use) : reading.use;
    const before = this.#latest ?? use;
    this.#latest = {
      ...use,
      // What was used stays used.
      cpuMilliseconds: Math.max(before.cpuMilliseconds, use.cpuMilliseconds),
      receivedBytes: Math.max(before.receivedBytes, use.receivedBytes),
      sentBytes: Math.max(before.sentBytes, use.sentBytes),
    };
    this.#most = mostOf(this.#most, use);
    this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes, use.memoryBytes);
    this.#peakVolumeBytes = Math.max(this.#peakVolumeBytes, use.volumeBytes);
    this.#rate({ use: this.#latest, atMilliseconds: reading.atMilliseconds });
  }

  /** Ends the stretch of a sample: what was used at its end, and the most within it. Null before the first reading. */
  sample(): ResourceUse | null {
    if (!this.#latest) return null;
    const sample = { ...this.#latest, ...mostOf(this.#most, this.#latest) };
    this.#most = { memoryBytes: 0, volumeBytes: 0 };
    return sample;
  }

  get peaks(): ResourcePeaks | null {
    if (!this.#latest) return null;
    const { cpuMilliseconds, receivedBytes, sentBytes } = this.#latest;
    return {
      cpuMilliseconds,
      peakCpus: Math.round(this.#peakCpus * 100) / 100,
      peakMemoryBytes: this.#peakMemoryBytes,
      peakVolumeBytes: this.#peakVolumeBytes,
      receivedBytes,
      sentBytes,
    };
  }

  #rate(reading: UseReading): void {
    const since = this.#rated ?? reading;
    const milliseconds = reading.atMilliseconds - since.atMilliseconds;
    if (this.#rated && milliseconds < leastRateMilliseconds) return;
    this.#rated = reading;
    const busy = reading.use.cpuMilliseconds - since.use.cpuMilliseconds;
    if (milliseconds > 0)
      this.#peakCpus = Math.max(this.#peakCpus, Math.min(busy / milliseconds, this.#mostCpus));
  }
}

function since(first: ResourceUse, use: ResourceUse): ResourceUse {
  return {
    ...use,
    cpuMilliseconds: Math.max(0, use.cpuMilliseconds - first.cpuMilliseconds),
    receivedBytes: Math.max(0, use.receivedBytes - first.receivedBytes),
    sentBytes: Math.max(0, use.sentBytes - first.sentBytes),
  };
}

function mostOf(
  a: Pick<ResourceUse, 'memoryBytes' | 'volumeBytes'>,
  b: Pick<ResourceUse, 'memoryBytes' | 'volumeBytes'>,
) {
  return {
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
    volumeBytes: Math.max(a.volumeBytes, b.volumeBytes),
  };
}
