import type { Image } from '../images/image.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import type { LiveRun } from './live-run.ts';
import type { WarmSandbox } from './warm-pool/warm-sandbox.ts';

/** What a run executes in, as far as it is made ready. */
export type Prepared = PreparedStart | PreparedWaiting;

interface PreparedAny {
  readonly image: Image;
  /** Settles when the network leads where the run may go. */
  readonly opened: Promise<void>;
}

/** A sandbox has to be started. */
export interface PreparedStart extends PreparedAny {
  readonly network: SandboxNetwork;
}

/** One waits for a run like this. */
export interface PreparedWaiting extends PreparedAny {
  readonly waiting: WarmSandbox;
}

/** Holds the network of the run. Where it led is read at its very end. */
export function holdNetwork(run: LiveRun, making: Promise<SandboxNetwork>): Promise<SandboxNetwork> {
  return run.resources.hold('network', making, async (made) => {
    await run.egress.read(made, (text) => run.mask(text));
    await made.destroy();
  });
}
