import type { Image } from '../images/image.ts';
import type { HeldImage, ImageProgress } from '../images/image-store.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import { egressPolicyOf } from './egress-policy.ts';
import type { LiveRun } from './live-run.ts';

export interface Prepared {
  readonly image: Image;
  readonly network: SandboxNetwork;
}

/** Makes ready what a sandbox is attached to: the image, converted once per digest, and a network of its own. */
export async function prepare(run: LiveRun): Promise<Prepared> {
  const { parts } = run.context;
  await run.report.setup('Preparing environment');
  const making = parts.createNetwork(egressPolicyOf(run));
  const network = run.resources.hold('network', making, async (made) => {
    await run.egress.read(made, (text) => run.mask(text));
    await made.destroy();
  });
  const resolving = resolveImage(run);
  const [image, ownNetwork] = await run
    .unlessStopped(
      Promise.all([run.phases.measure('image', resolving), run.phases.measure('network', network)]),
    )
    .catch((error: unknown) => {
      // The end of a run does not wait for its image, which others may want.
      resolving.then(({ release }) => release()).catch(() => undefined);
      throw error;
    });
  run.resources.hold('image', resolving, ({ release }) => release());
  await run.report.setup(`Executor image "${image.reference}" (${image.digest})`);
  return { image, network: ownNetwork };
}

async function resolveImage(run: LiveRun): Promise<HeldImage> {
  const { options, parts } = run.context;
  const { imageReference } = run.outline;
  const progress = tellProgress(run);
  if (imageReference === null) return parts.images.resolve(options.defaultImage, { progress });
  const { credentials } = await run.ask(() => run.calls.imageCredentials());
  return parts.images.resolve(imageReference, { credentials, progress });
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
