import { setTimeout as sleep } from 'node:timers/promises';
import { defaultLeaseSeconds, leaseTimingOf } from '@slipway/core';
import { clockOffset, tellsTime } from '../../packages/runner/src/testing/guest-clock.ts';
import { openVmBench } from '../../packages/runner/src/testing/vm-bench.ts';
import type { Soak } from './soak.ts';

const maximumOffsetSeconds = 1;
const sampleMilliseconds = 30_000;

/** A guest's clock beside the host's, as it is set in a run. */
export const clock: Soak = {
  name: 'clock',
  usage: 'clock [minutes]',
  description: "a guest's clock stays within a second of the host's (ten minutes)",
  async run([minutes = '10'], report) {
    const bench = await openVmBench();
    const offsets: number[] = [];
    try {
      const { guestSilenceSeconds } = leaseTimingOf(defaultLeaseSeconds);
      const sandbox = await bench.start(tellsTime, { silenceSeconds: guestSilenceSeconds });
      await sandbox.started;
      const start = performance.now();
      for (let sample = 0; sample * sampleMilliseconds <= Number(minutes) * 60_000; sample += 1) {
        await sleep(Math.max(0, start + sample * sampleMilliseconds - performance.now()));
        const { offsetSeconds, uncertaintySeconds } = await clockOffset(sandbox);
        offsets.push(offsetSeconds);
        const milliseconds = (seconds: number) => (seconds * 1000).toFixed(0);
        report(
          `${(sample * sampleMilliseconds) / 1000} s: ${milliseconds(offsetSeconds)} ms ahead (± ${milliseconds(uncertaintySeconds)} ms)`,
        );
        if (Math.abs(offsetSeconds) > maximumOffsetSeconds)
          throw new Error(`The clock of the guest is off by ${offsetSeconds} s.`);
      }
    } finally {
      await bench.close();
    }
    const largest = Math.max(...offsets.map(Math.abs));
    report(`${offsets.length} samples, the largest offset ${(largest * 1000).toFixed(0)} ms`);
  },
};
