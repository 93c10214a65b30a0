import type { RunCache } from './cache/run-cache.ts';
import { networkSettingsOf } from './egress-policy.ts';
import type { LiveRun } from './live-run.ts';
import type { Prepared } from './prepared.ts';
import type { Executor } from './start-executor.ts';

/**
 * Fetches the job with its secrets and sends it down the channel: only now, when the executor waits for it, and
 * nowhere else. From here on the run counts as running and is never run again by itself.
 */
export async function deliverJob(
  run: LiveRun,
  executor: Executor,
  { image, opened }: Prepared,
  cache: RunCache | undefined,
): Promise<void> {
  const { channel } = executor;
  const endPhase = run.phases.begin('job');
  // The lease may have been counted from a late answer until its first renewal; the job needs one that holds.
  await run.unlessStopped(run.lease.renewed);
  run.spool.sandboxIs(await run.unlessStopped(executor.sandbox.hostProcess));
  run.jobWasAskedFor = true;
  const job = await run.unlessStopped(run.ask(() => run.calls.job()));
  run.hide(job.secrets);
  await run.unlessStopped(opened);
  await run.report.setup('The executor is ready; its job was delivered');
  run.report.setupDone();
  run.stopped.throwIfAborted();
  channel.send({
    type: 'job',
    job,
    network: networkSettingsOf(run),
    imageEnvironment: image.config.environment,
    stepUser: image.config.user,
    ...(cache && { cacheTransfer: cache.serve(executor) }),
  });
  run.cancellation.executorWorks((graceSeconds) => channel.send({ type: 'cancel', graceSeconds }));
  run.timeLimits.begin();
  endPhase();
}
