import type { ResourcePeaks, ResourceUse, SandboxSize, UsageSample, UsageSummary } from '@slipway/core';
import { amountOfBytes, duration } from './amounts.ts';
import { indented } from './indented.ts';
import { columnSeconds, type Stretch, sparkline } from './sparkline.ts';
import { table } from './table.ts';

const chartColumns = 60;
const gibibyte = 1024 ** 3;
const mebibyte = 1024 ** 2;

/** What a run used in all and at most, inside and on its host, of what it was given where that is known. */
export function peaksPage({ sandbox, host }: UsageSummary, size: SandboxSize | undefined): string[] {
  const row = (title: string, amount: (peaks: ResourcePeaks) => string, given?: string) => [
    title,
    sandbox ? amount(sandbox) + (given === undefined ? '' : ` of ${given}`) : 'not known',
    host ? amount(host) : 'not known',
  ];
  return table([
    ['', 'inside', 'on the host'],
    row('CPU, at most', ({ peakCpus }) => peakCpus.toFixed(2), size && `${size.cpus} vCPU`),
    row('CPU, in all', ({ cpuMilliseconds }) => duration(cpuMilliseconds)),
    row(
      'memory, at most',
      ({ peakMemoryBytes }) => amountOfBytes(peakMemoryBytes),
      size && amountOfBytes(size.memoryMiB * mebibyte),
    ),
    row(
      'volume, at most',
      ({ peakVolumeBytes }) => amountOfBytes(peakVolumeBytes),
      size && amountOfBytes(size.volumeGiB * gibibyte),
    ),
    row('received', ({ receivedBytes }) => amountOfBytes(receivedBytes)),
    row('sent', ({ sentBytes }) => amountOfBytes(sentBytes)),
  ]);
}

/** The same over time, a line each: as seen inside, or on the host where nothing was told inside. */
export function chartPage(samples: readonly UsageSample[]): string[] {
  const place = samples.some(({ sandbox }) => sandbox) ? 'sandbox' : 'host';
  const seen = samples.map(({ seconds, [place]: use }) => ({ seconds, use }));
  const held = (amount: (use: ResourceUse) => number): Stretch[] =>
    seen.map(({ seconds, use }) => ({ seconds, value: use === null ? undefined : amount(use) }));
  const perSecond = (amount: (use: ResourceUse) => number): Stretch[] => {
    let before = 0;
    return seen.map(({ seconds, use }) => {
      if (use === null) return { seconds, value: undefined };
      const more = Math.max(0, amount(use) - before);
      before = amount(use);
      return { seconds, value: more / seconds };
    });
  };
  const line = (title: string, stretches: readonly Stretch[], amount: (highest: number) => string) => {
    const highest = Math.max(0, ...stretches.map(({ value }) => value ?? 0));
    return [title, sparkline(stretches, chartColumns), `█ = ${amount(highest)}`];
  };
  const speed = (bytesPerSecond: number) => `${amountOfBytes(bytesPerSecond)}/s`;
  const memory = held(({ memoryBytes }) => memoryBytes);
  const columns = duration(columnSeconds(memory, chartColumns) * 1000);
  return [
    `Over time, ${place === 'sandbox' ? 'inside' : 'on the host'} (a column is ${columns})`,
    ...table([
      line(
        'CPU',
        perSecond(({ cpuMilliseconds }) => cpuMilliseconds / 1000),
        (cpus) => cpus.toFixed(2),
      ),
      line('memory', memory, amountOfBytes),
      line(
        'volume',
        held(({ volumeBytes }) => volumeBytes),
        amountOfBytes,
      ),
      line(
        'received',
        perSecond(({ receivedBytes }) => receivedBytes),
        speed,
      ),
      line(
        'sent',
        perSecond(({ sentBytes }) => sentBytes),
        speed,
      ),
    ]).map(indented),
  ];
}
