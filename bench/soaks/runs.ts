import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { type SlipwayUnderTest, startSlipway } from '../../tests/testing/slipway.ts';
import { prepareStack, stackPath } from '../run-start.ts';
import type { Soak } from './soak.ts';

const maximumGrowthMiB = 100;
// By then the allocator keeps what one run needs at most.
const settledAfterRuns = 50;
const memoryMiB = () => process.memoryUsage().rss / 1024 ** 2;

/** Many runs in a row, some of them cancelled at a random moment. */
export const runs: Soak = {
  name: 'runs',
  usage: 'runs [minutes] [vm|container]',
  description: 'each run ends as it should and the process does not grow (30 minutes of containers)',
  async run([minutes = '30', isolation], report) {
    const isVm = isolation === 'vm';
    const slipway = await startSlipway({ isolation: isVm ? 'vm' : 'container', memoryMib: 1024 });
    let count = 0;
    let settledMiB = 0;
    try {
      await prepareStack(slipway);
      const end = performance.now() + Number(minutes) * 60_000;
      while (performance.now() < end) {
        await oneRun(slipway, Math.random() < 0.4 ? Math.random() * (isVm ? 20_000 : 2_000) : undefined);
        count += 1;
        if (count === settledAfterRuns) settledMiB = memoryMiB();
        if (count % 10 === 0) report(`${count} runs, ${memoryMiB().toFixed(0)} MiB`);
      }
      const growth = memoryMiB() - settledMiB;
      if (count > settledAfterRuns && growth > maximumGrowthMiB)
        throw new Error(`The process grew by ${growth.toFixed(0)} MiB in ${count} runs.`);
    } finally {
      await slipway.close();
    }
    report(`${count} runs ended as they should`);
  },
};

const queued = z.object({ id: z.string() });
const facts = z.object({ state: z.string(), cause: z.string().nullable() });

/** The repository has no project, so a run that is left alone ends with `source-unavailable`. */
async function oneRun(slipway: SlipwayUnderTest, cancelAfterMilliseconds: number | undefined): Promise<void> {
  const deployments = `${stackPath}/deployments`;
  const { id } = queued.parse((await slipway.api('POST', deployments, { operation: 'update' })).json);
  if (cancelAfterMilliseconds !== undefined) {
    await sleep(cancelAfterMilliseconds);
    await slipway.api('POST', `${deployments}/${id}/cancel`);
  }
  const deadline = performance.now() + 300_000;
  for (;;) {
    const run = facts.parse((await slipway.api('GET', `/api/slipway/runs/${id}`)).json);
    if (run.state === 'finished') {
      const expected =
        cancelAfterMilliseconds === undefined ? ['source-unavailable'] : ['source-unavailable', 'cancelled'];
      if (!expected.includes(run.cause ?? ''))
        throw new Error(`Run ${id} ended with the cause ${run.cause}.`);
      return;
    }
    if (performance.now() > deadline) throw new Error(`Run ${id} did not end in five minutes.`);
    await sleep(50);
  }
}
