import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import { endRun } from './finish.ts';
import type { RunRecord } from './run.ts';
import { runColumns } from './run.ts';

/**
 * Cancels a run. A queued one ends at once; one that a runner holds is cancelled by the runner, which hears of it in
 * the next answer to any of its calls. Cancelling again, or what has ended, changes nothing.
 */
export async function cancelRun({ db, now }: ControlPlane, runId: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const { rows } = await sql<RunRecord>`
      UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now()), modified_at = now()
      WHERE id = ${runId} AND state <> 'finished'
      RETURNING ${runColumns}`.execute(tx);
    if (rows[0]?.state !== 'queued') return;
    await endRun(tx, runId, { outcome: 'failed', cause: 'cancelled', endedBy: 'queue' }, now());
  });
}
