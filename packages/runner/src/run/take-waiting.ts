import type { EgressPolicy } from '@slipway/core';
import type { HeldImage } from '../images/image-store.ts';
import type { LiveRun } from './live-run.ts';
import type { PreparedWaiting } from './prepared.ts';
import type { WarmSandbox } from './warm-pool/warm-sandbox.ts';

/**
 * Takes a sandbox that was started ahead of time for runs like this, and opens its network for it. Undefined where this
 * runner keeps none, or none fits, or the one that did is of no use: the log says why, and a new one is started.
 */
export async function takeWaiting(
  run: LiveRun,
  policy: EgressPolicy,
  resolving: Promise<HeldImage>,
): Promise<PreparedWaiting | undefined> {
  const { warmPool, options } = run.context;
  if (!warmPool) return undefined;
  const end = run.phases.begin('warm');
  const taken = warmPool.take({
    imageReference: run.outline.imageReference ?? options.defaultImage,
    size: run.size,
    silenceSeconds: run.lease.timing.guestSilenceSeconds,
  });
  if ('lack' in taken) return without(run, taken.lack);
  run.resources.hold('sandbox that waited', Promise.resolve(taken), () => taken.destroy());
  const opened = taken.open(policy);
  opened.catch(() => undefined);
  const image = await run.unlessStopped(run.phases.measure('image', resolving));
  try {
    // Not beside the call for the job, as with a new one: from then on there is no other sandbox for this run.
    await run.unlessStopped(opened);
  } catch (error) {
    run.stopped.throwIfAborted();
    run.log.warn({ err: error }, 'A sandbox that was started ahead of time cannot be used');
    const lack = taken.isReady
      ? 'the network of the one that waited could not be opened'
      : 'the one that was being started cannot be used';
    return without(run, lack, taken);
  }
  if (taken.imageDigest !== image.digest) {
    void warmPool.imageIs(image.reference, image.digest);
    return without(run, 'its image has changed', taken);
  }
  if (!taken.isReady) return without(run, 'the one that waited has ended', taken);
  end();
  return { image, waiting: taken, opened };
}

async function without(run: LiveRun, lack: string, taken?: WarmSandbox): Promise<undefined> {
  await taken?.destroy();
  await run.report.setup(`No sandbox that was started ahead of time is used: ${lack}`);
}
