import { boot } from './boot.ts';
import { openRunCache } from './cache/open-run-cache.ts';
import { cancelledEnding } from './cancellation.ts';
import { deliverJob } from './deliver-job.ts';
import { type Ending, endingOfError } from './ending.ts';
import { execute } from './execute.ts';
import { finish } from './finish.ts';
import type { LiveRun } from './live-run.ts';
import { prepare } from './prepare.ts';

/**
 * One claimed run, to its end. Whatever happens in a stage ends this run with a cause, destroys what it held, and
 * touches nothing else: it never rejects.
 */
export async function executeRun(run: LiveRun): Promise<void> {
  let ending: Ending;
  try {
    run.log.info({ stack: run.outline.stack, operation: run.outline.operation }, 'Run started');
    const prepared = await prepare(run);
    const cache = openRunCache(run, prepared);
    const executor = await boot(run, prepared);
    await deliverJob(run, executor, prepared, cache);
    ending = await execute(run, executor, cache);
  } catch (error) {
    ending = endingOfFailure(run, error);
  }
  await finish(run, ending);
}

/** A run that was asked to stop ended for that reason, whatever broke on the way. */
function endingOfFailure(run: LiveRun, error: unknown): Ending {
  const ending = endingOfError(run.stopped.aborted ? run.stopped.reason : error);
  if (ending.cause === 'internal-error')
    run.log.error({ err: error }, 'A run failed by a fault of the runner');
  const reason = run.cancellation.requested;
  return reason && ending.cause === 'executor-crashed' ? cancelledEnding(reason, ending) : ending;
}
