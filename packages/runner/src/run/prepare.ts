import type { Image } from '../images/image.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { LiveRun } from './live-run.ts';

export interface Prepared {
  readonly image: Image;
  readonly network: SandboxNetwork;
}

/** Makes ready what a sandbox is attached to: the image, converted once per digest, and a network of its own. */
export async function prepare(run: LiveRun): Promise<Prepared> {
  const { options, parts } = run.context;
  const reference = run.outline.imageReference ?? options.defaultImage;
  await run.report.setup('Preparing environment');
  const network = run.resources.hold('network', parts.createNetwork(run.outline.sandbox.egress), (made) =>
    made.destroy(),
  );
  const [image, ownNetwork] = await run.unlessStopped(
    Promise.all([
      run.phases.measure('image', parts.images.resolve(reference)),
      run.phases.measure('network', network),
    ]),
  );
  await run.report.setup(`Executor image "${image.reference}" (${image.digest})`);
  return { image, network: ownNetwork };
}
