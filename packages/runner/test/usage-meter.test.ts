import type { ResourceUse, UsageSample } from '@slipway/core';
import { describe, expect, test } from 'vitest';
import type { UseReading } from '../src/isolation/usage-reading.ts';
import { UsageMeter } from '../src/run/usage/usage-meter.ts';

const nothing: ResourceUse = {
  ...{ cpuMilliseconds: 0, memoryBytes: 0, volumeBytes: 0, receivedBytes: 0, sentBytes: 0 },
};

function reading(use: Partial<ResourceUse>, atSeconds: number): UseReading {
  return { use: { ...nothing, ...use }, atMilliseconds: atSeconds * 1000 };
}

/** Takes what `useAt` tells for each second until the run has this age; answers the samples. */
function follow(meter: UsageMeter, seconds: number, useAt: (second: number) => Partial<ResourceUse>) {
  const samples: UsageSample[] = [];
  for (let second = 0; second <= seconds; second += 1) {
    const sandbox = reading(useAt(second), second);
    const sample = meter.take({ sandbox, host: null }, second + 0.002, new Date(second * 1000));
    if (sample) samples.push(sample);
  }
  return samples;
}

test('each second of a young run has a sample, with its time', () => {
  const samples = follow(new UsageMeter({ cpus: 2, sandboxIsNew: true }), 30, (second) => ({
    memoryBytes: second,
    sentBytes: second * 10,
  }));
  expect(samples).toHaveLength(30);
  expect(samples[4]).toEqual({
    ...{ at: '1970-01-01T00:00:05.000Z', seconds: 1, host: null },
    sandbox: { ...nothing, memoryBytes: 5, sentBytes: 50 },
  });
});

test('a longer sample has the most memory and volume of its time, and the counters of its end', () => {
  const short = 700; // Two seconds a sample.
  const samples = follow(new UsageMeter({ cpus: 2, sandboxIsNew: true }), 720, (second) => ({
    memoryBytes: second === short + 1 ? 99 : 1,
    volumeBytes: second === short + 1 ? 77 : 1,
    receivedBytes: second,
  }));
  const sample = samples.find(({ at }) => Date.parse(at) === (short + 2) * 1000);
  expect(sample).toMatchObject({
    seconds: 2,
    sandbox: { memoryBytes: 99, volumeBytes: 77, receivedBytes: short + 2 },
  });
  expect(samples.at(samples.findIndex(({ at }) => at === sample?.at) + 1)).toMatchObject({
    sandbox: { memoryBytes: 1, volumeBytes: 1 },
  });
  expect(samples.reduce((sum, { seconds }) => sum + seconds, 0)).toBe(720);
});

test('the last sample of a run is as long as what was left of it', () => {
  const meter = new UsageMeter({ cpus: 2, sandboxIsNew: true });
  follow(meter, 703, () => ({ memoryBytes: 1 }));
  expect(meter.end(703.4, new Date(703_400))).toMatchObject({ seconds: 1 });
  const young = new UsageMeter({ cpus: 2, sandboxIsNew: true });
  young.take({ sandbox: reading({ memoryBytes: 5 }, 0), host: null }, 0, new Date(0));
  expect(young.end(0.4, new Date(400))).toMatchObject({ seconds: 1, sandbox: { memoryBytes: 5 } });
});

test('a run that got a sandbox which had waited for it has used what came after that', () => {
  const meter = new UsageMeter({ cpus: 2, sandboxIsNew: false });
  const samples = follow(meter, 3, (second) => ({
    cpuMilliseconds: 90_000 + second * 100,
    memoryBytes: 77,
    sentBytes: 5_000 + second,
  }));
  expect(samples[0]?.sandbox).toMatchObject({ cpuMilliseconds: 100, memoryBytes: 77, sentBytes: 1 });
  expect(meter.summary.sandbox).toMatchObject({ cpuMilliseconds: 300, sentBytes: 3, peakMemoryBytes: 77 });
});

test('a run of which nothing is seen has no samples and no peaks', () => {
  const meter = new UsageMeter({ cpus: 2, sandboxIsNew: true });
  expect(meter.take({ sandbox: null, host: null }, 1, new Date())).toBeUndefined();
  expect(meter.summary).toEqual({ sandbox: null, host: null });
});

describe('the summary', () => {
  test('has totals, and peaks that no longer sample hides', () => {
    const meter = new UsageMeter({ cpus: 2, sandboxIsNew: true });
    follow(meter, 5_000, (second) => ({
      // Half a processor, but for one second.
      cpuMilliseconds: second * 500 + (second > 4_000 ? 1_000 : 0),
      memoryBytes: second === 4_321 ? 1_000 : 10,
      volumeBytes: second === 4_323 ? 2_000 : 20,
      receivedBytes: second * 3,
    }));
    expect(meter.summary.sandbox).toEqual({
      ...{ cpuMilliseconds: 2_501_000, peakCpus: 1.5, receivedBytes: 15_000, sentBytes: 0 },
      ...{ peakMemoryBytes: 1_000, peakVolumeBytes: 2_000 },
    });
  });

  test('takes a reading that came late by when it was true', () => {
    const meter = new UsageMeter({ cpus: 2, sandboxIsNew: true });
    // The second one is told with the next: a second's work, not two seconds' in one.
    const told = [reading({ cpuMilliseconds: 0 }, 0), reading({ cpuMilliseconds: 0 }, 0)];
    told.push(reading({ cpuMilliseconds: 1_600 }, 2));
    for (const [second, sandbox] of told.entries()) {
      meter.take({ sandbox, host: null }, second, new Date(0));
    }
    expect(meter.summary.sandbox?.peakCpus).toBe(0.8);
  });

  test('believes in no more processors than the sandbox has, nor in counters that go back', () => {
    const meter = new UsageMeter({ cpus: 2, sandboxIsNew: true });
    const told = [
      reading({ cpuMilliseconds: 5_000, receivedBytes: 100 }, 0),
      reading({ cpuMilliseconds: 900_000, receivedBytes: 7 }, 1),
      reading({ cpuMilliseconds: 0, receivedBytes: 0 }, 0.2),
      reading({ cpuMilliseconds: 900_000, receivedBytes: 7 }, 0.8),
    ];
    for (const sandbox of told) meter.take({ sandbox, host: null }, 1, new Date(0));
    expect(meter.summary.sandbox).toMatchObject({
      peakCpus: 2,
      receivedBytes: 100,
      cpuMilliseconds: 900_000,
    });
  });
});
