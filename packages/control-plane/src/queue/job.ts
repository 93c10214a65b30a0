import type { Job } from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import { renewLease } from './lease.ts';
import { type Workflows, workflowOf } from './workflow.ts';

/**
 * The job of the run that a lease token holds. From now on the run counts as running: what it does to the world cannot
 * be undone, so it is never queued again. Asked again (the answer may have been lost) it answers the same. Throws 409.
 */
export async function handOutJob(
  { db, runSecrets }: ControlPlane,
  workflows: Workflows,
  leaseToken: string,
): Promise<Job> {
  return db.transaction().execute(async (tx) => {
    const run = await renewLease(tx, leaseToken);
    const job = await workflowOf(workflows, run).job(tx, run);
    await runSecrets.give(tx, run.id, job.secrets);
    await sql`
      UPDATE runs SET state = 'running', started_at = coalesce(started_at, now()), modified_at = now()
      WHERE id = ${run.id}`.execute(tx);
    return job;
  });
}
