import type { ControlPlane } from '../control-plane.ts';
import { awaitNoMore, lockAwaitedRun } from './late-log.ts';
import { recoverRun } from './recover.ts';

/**
 * The runner of a run is gone, with its sandbox, and all that it had read was delivered: the run need not wait until its
 * lease ends.
 */
export async function noteLostRunner(controlPlane: ControlPlane, deliveryToken: string): Promise<void> {
  await controlPlane.db.transaction().execute(async (tx) => {
    const run = await lockAwaitedRun(tx, deliveryToken);
    if (run.state !== 'finished') await recoverRun(controlPlane, tx, run);
    await awaitNoMore(tx, [run.id]);
  });
}
