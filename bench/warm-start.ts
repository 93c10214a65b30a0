import { setTimeout as sleep } from 'node:timers/promises';
import { type SlipwayUnderTest, startSlipway } from '../tests/testing/slipway.ts';
import { type Benchmark, middleRound, type Round } from './benchmark.ts';
import { prepareStack, timeRun } from './run-start.ts';

const rounds = 5;
const size = { cpus: 2, memoryMib: 8192, volumeGib: 32 };

export const warmStart: Benchmark = {
  name: 'warm-start',
  description: `from the API's 202 to the executor's first log line, in a VM that waited, against one that was started for the run (middle of ${rounds} rounds)`,
  maximumRatio: 0.1,
  measure: async (report) => {
    const cold = await startSlipway({ isolation: 'vm', ...size });
    try {
      const warm = await startSlipway({ isolation: 'vm', ...size, warm: 1 });
      try {
        return await compare(warm, cold, report);
      } finally {
        await warm.close();
      }
    } finally {
      await cold.close();
    }
  },
};

async function compare(warm: SlipwayUnderTest, cold: SlipwayUnderTest, report: (line: string) => void) {
  const measured: Round[] = [];
  await prepareStack(warm);
  await prepareStack(cold);
  // The first round of each warms the page cache.
  for (let round = 0; round <= rounds; round += 1) {
    // Nothing else is started while a run is measured.
    while (warm.warmSandboxes === 0) await sleep(50);
    const reference = await timeRun(cold);
    const ours = await timeRun(warm);
    if (ours.phases.warm === undefined || ours.phases.boot !== undefined)
      throw new Error(`The run was not given the sandbox that waited: ${JSON.stringify(ours.phases)}`);
    const phases = Object.entries(ours.phases).map(([name, took]) => `${name} ${Math.round(took)}`);
    report(
      `round ${round}: ${ours.seconds.toFixed(3)} s, cold ${reference.seconds.toFixed(2)} s (ms: ${phases.join(', ')})`,
    );
    if (round > 0) measured.push({ ours: ours.seconds, reference: reference.seconds });
  }
  return { ...middleRound(measured), unit: 's' };
}
