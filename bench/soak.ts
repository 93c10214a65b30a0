import { setTimeout as sleep } from 'node:timers/promises';
import { startSlipway } from '../tests/testing/slipway.ts';
import { prepareStack, stackPath } from './run-start.ts';

/**
 * Many runs in a row, some of them cancelled at a random moment: each must end with the right outcome, and the process
 * must not grow. `npm run soak -- [minutes] [vm|container]`, 30 minutes of containers when not said.
 */
const minutes = Number(process.argv[2] ?? 30);
const isolation = process.argv[3] === 'vm' ? 'vm' : 'container';
const maximumGrowthMiB = 100;
// By then the allocator keeps what one run needs at most.
const settledAfterRuns = 50;

interface Run {
  readonly state: string;
  readonly cause: string | null;
}

const slipway = await startSlipway({ isolation, memoryMib: 1024 });
let runs = 0;
let settledMiB = 0;
const memoryMiB = () => process.memoryUsage().rss / 1024 ** 2;
try {
  await prepareStack(slipway);
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) {
    await oneRun(Math.random() < 0.4 ? Math.random() * (isolation === 'vm' ? 20_000 : 2_000) : undefined);
    runs += 1;
    if (runs === settledAfterRuns) settledMiB = memoryMiB();
    if (runs % 10 === 0) console.log(`${runs} runs, ${memoryMiB().toFixed(0)} MiB`);
  }
  const growth = memoryMiB() - settledMiB;
  if (runs > settledAfterRuns && growth > maximumGrowthMiB) {
    throw new Error(`The process grew by ${growth.toFixed(0)} MiB in ${runs} runs.`);
  }
} finally {
  await slipway.close();
}
console.log(`${runs} runs ended as they should`);

/** The repository has no project, so a run that is left alone ends with `source-unavailable`. */
async function oneRun(cancelAfterMilliseconds: number | undefined): Promise<void> {
  const { json } = await slipway.api('POST', `${stackPath}/deployments`, { operation: 'update' });
  const { id } = json as { id: string };
  if (cancelAfterMilliseconds !== undefined) {
    await sleep(cancelAfterMilliseconds);
    await slipway.api('POST', `${stackPath}/deployments/${id}/cancel`);
  }
  const deadline = performance.now() + 300_000;
  for (;;) {
    const run = (await slipway.api('GET', `/api/slipway/runs/${id}`)).json as Run;
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
