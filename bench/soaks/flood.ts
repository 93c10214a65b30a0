import { describeRates, faultsOf, floodLog, writtenBytes } from '../../tests/testing/log-flood.ts';
import { SeparateSlipway } from '../../tests/testing/separate-slipway.ts';
import type { Soak } from './soak.ts';

/** The most that a log may have: several times what waits on the runner at most. */
const logMiB = 256;

/** A run that writes as fast as it is let, past the limit of its log. */
export const flood: Soak = {
  name: 'flood',
  usage: 'flood [seconds]',
  description:
    'a run that floods its log loses no line before the limit, is not held up beyond it, and no process grows by 64 MiB (a minute)',
  async run([seconds = '60'], report) {
    await using slipway = await SeparateSlipway.start();
    const result = await floodLog(slipway, { seconds: Number(seconds), logMiB });
    for (const [process, mebibytes] of result.grownMiB) {
      if (mebibytes >= 1) report(`${process} grew by ${mebibytes.toFixed(0)} MiB`);
    }
    const { kept, last, cut, rates } = result;
    report(describeRates(rates));
    const gigabytes = writtenBytes(result) / 1e9;
    const average = (gigabytes * 1000) / Number(seconds);
    report(
      `${gigabytes.toFixed(2)} GB were written in ${seconds} s, all in all ${average.toFixed(0)} MB/s; ${kept.length} lines were kept, then the last ${last.length}: ${cut.notice}`,
    );
    if (cut.notice === '')
      throw new Error('The limit of the log was not reached: the host is too slow for this.');
    const faults = faultsOf(result);
    if (faults.length > 0) throw new Error(faults.join('; '));
  },
};
