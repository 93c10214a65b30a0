import type { EgressPolicy } from '@slipway/core';
import type { HeldImage, ImageProgress } from '../images/image-store.ts';
import { egressPolicyOf } from './egress-policy.ts';
import type { LiveRun } from './live-run.ts';
import { holdNetwork, type Prepared, type PreparedStart } from './prepared.ts';
import { takeWaiting } from './take-waiting.ts';

/**
 * Makes ready what a sandbox is attached to: the image, converted once per digest and repository, and a network of its
 * own. Or takes a sandbox that was started ahead of time, where one fits.
 */
export async function prepare(run: LiveRun): Promise<Prepared> {
  await run.report.setup('Preparing environment');
  const policy = egressPolicyOf(run);
  const resolving = resolveImage(run);
  let prepared: Prepared;
  try {
    prepared = (await takeWaiting(run, policy, resolving)) ?? (await makeReady(run, policy, resolving));
  } catch (error) {
    // The end of a run does not wait for its image, which others may want.
    resolving.then(({ release }) => release()).catch(() => undefined);
    throw error;
  }
  run.resources.hold('image', resolving, ({ release }) => release());
  const { reference, digest } = prepared.image;
  await run.report.setup(`Executor image "${reference}" (${digest})`);
  return prepared;
}

async function makeReady(
  run: LiveRun,
  policy: EgressPolicy,
  resolving: Promise<HeldImage>,
): Promise<PreparedStart> {
  const { parts, warmPool } = run.context;
  const making = run.phases.measure('network', holdNetwork(run, parts.createNetwork()));
  const [image, network] = await run.unlessStopped(
    Promise.all([run.phases.measure('image', resolving), making, warmPool?.makeRoom(run.size)]),
  );
  const opened = network.open(policy);
  opened.catch(() => undefined);
  return { image, network, opened };
}

async function resolveImage(run: LiveRun): Promise<HeldImage> {
  const { options, parts, imageAttempts } = run.context;
  const { imageReference } = run.outline;
  const progress = tellProgress(run);
  if (imageReference === null) return parts.images.resolve(options.defaultImage, { progress });
  const { credentials } = await run.ask(() => run.calls.imageCredentials());
  const image = await parts.images.resolve(imageReference, { credentials, progress });
  imageAttempts.noteHad(imageReference, credentials, image.digest);
  return image;
}

/** Says why the run has to wait, once for each stage: most images are there, and nothing is to be said. */
function tellProgress(run: LiveRun): (progress: ImageProgress) => void {
  let told: ImageProgress['stage'] | undefined;
  return ({ stage, totalBytes }) => {
    if (stage === told) return;
    told = stage;
    const size = totalBytes === undefined ? '' : ` (${Math.ceil(totalBytes / 1024 ** 2)} MiB)`;
    const line = stage === 'fetching' ? `Pulling the executor image${size}` : 'Converting the executor image';
    // A run that was stopped meanwhile has said its last words.
    run.report.setup(line).catch(() => undefined);
  };
}
