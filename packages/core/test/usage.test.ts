import { expect, test } from 'vitest';
import {
  describeUsage,
  everySecondSeconds,
  maximumUsageSamples,
  type ResourcePeaks,
  sampleSecondsAt,
  usageSample,
} from '../src/index.ts';

/** How many samples a run of this length has. */
function samplesOf(seconds: number): number {
  let samples = 0;
  for (let age = 0; age < seconds; age += sampleSecondsAt(age)) samples += 1;
  return samples;
}

const minute = 60;
const day = 24 * 60 * minute;

test('a run has a sample for each second of its first ten minutes, and never fewer than 300 of the whole', () => {
  expect(everySecondSeconds).toBe(10 * minute);
  expect(samplesOf(10 * minute)).toBe(600);
  for (const seconds of [11 * minute, 45 * minute, 3 * 60 * minute, day]) {
    expect(sampleSecondsAt(seconds)).toBeLessThanOrEqual(seconds / 300);
  }
});

test('however long a run is, its samples are few', () => {
  expect(samplesOf(7 * day)).toBeLessThanOrEqual(3_600);
  expect(samplesOf(365 * day)).toBeLessThan(maximumUsageSamples);
});

const peaks: ResourcePeaks = {
  ...{ cpuMilliseconds: 41_234, peakCpus: 2.04, receivedBytes: 12.4 * 1024 ** 2, sentBytes: 300_000 },
  ...{ peakMemoryBytes: 1_500 * 1024 ** 2, peakVolumeBytes: 1024 ** 3 / 4 },
};
const size = { cpus: 2, memoryMiB: 8192, volumeGiB: 32 };

test('what a run used is said in one line, with what it had', () => {
  expect(describeUsage({ sandbox: peaks, host: null }, size)).toBe(
    'Used at most 2.00 of 2 vCPU, 1,500 of 8,192 MiB memory and 0.25 of 32 GiB volume; ' +
      'in all 41.2 s of processor time, 12 MiB received, 0.3 MiB sent.',
  );
  const onHost = { ...peaks, peakMemoryBytes: 9 * 1024 ** 2 };
  expect(describeUsage({ sandbox: null, host: onHost }, size)).toContain(' 9 of 8,192 MiB memory');
  expect(describeUsage({ sandbox: null, host: null }, size)).toBeUndefined();
});

const use = { cpuMilliseconds: 1, memoryBytes: 1, volumeBytes: 1, receivedBytes: 1, sentBytes: 1 };
const sample = { at: '2026-01-01T00:00:00.000Z', seconds: 1, sandbox: use, host: null };

test.each([
  ['less than nothing', { ...use, memoryBytes: -1 }],
  ['half a byte', { ...use, sentBytes: 0.5 }],
  ['more than can be counted', { ...use, cpuMilliseconds: 2 ** 53 }],
  ['without end', { ...use, receivedBytes: Number.POSITIVE_INFINITY }],
  ['a text', { ...use, volumeBytes: '1' }],
])('no sample tells %s', (_what, nonsense) => {
  expect(usageSample.safeParse(sample).success).toBe(true);
  expect(usageSample.safeParse({ ...sample, sandbox: nonsense }).success).toBe(false);
});
