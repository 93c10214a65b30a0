import { setTimeout as sleep } from 'node:timers/promises';
import { startSlipway } from '../tests/testing/slipway.ts';
import type { Benchmark } from './benchmark.ts';
import { prepareStack, stackPath } from './run-start.ts';

const rounds = 3;
const promisedSeconds = 1;
const pollMilliseconds = 5;

interface Run {
  readonly state: string;
  readonly steps: readonly { readonly status: string }[];
}

export const destroy: Benchmark = {
  name: 'destroy',
  description: `from a run's last step to a free stack, in a VM (worst of ${rounds}), against the promised second`,
  maximumRatio: 1,
  measure: async (report) => {
    const slipway = await startSlipway({ isolation: 'vm', memoryMib: 8192, volumeGib: 32 });
    try {
      await prepareStack(slipway);
      let worst = 0;
      for (let round = 0; round < rounds; round += 1) {
        const created = await slipway.api('POST', `${stackPath}/deployments`, { operation: 'update' });
        const { id } = created.json as { id: string };
        const until = async (condition: (run: Run) => boolean) => {
          for (;;) {
            const { json } = await slipway.api('GET', `/api/slipway/runs/${id}`);
            if (condition(json as Run)) return performance.now();
            await sleep(pollMilliseconds);
          }
        };
        // The repository has no project, so the first step fails, and the executor sends its result.
        const stepEnded = await until((run) => run.steps.some(({ status }) => status === 'failed'));
        const seconds = ((await until((run) => run.state === 'finished')) - stepEnded) / 1000;
        report(`round ${round + 1}: ${seconds.toFixed(3)} s`);
        worst = Math.max(worst, seconds);
      }
      return { ours: worst, reference: promisedSeconds, unit: 's' };
    } finally {
      await slipway.close();
    }
  },
};
