import type { Platform, RunSandbox, Workflow } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { wakeClaims } from './wake-up.ts';

export interface NewRun {
  readonly workflow: Workflow;
  readonly laneId: string;
  readonly poolId: string;
  readonly platform: Platform;
  readonly sandbox: RunSandbox;
  /** Whether it may keep dependencies for later runs. */
  readonly caches: boolean;
}

/**
 * Puts a run at the end of its lane. Call it in a transaction: the lane stays locked until that ends, so runs become
 * visible in the order of their numbers, and the waiting claims wake up when it commits.
 */
export async function enqueueRun(tx: Database, run: NewRun): Promise<{ id: string; number: number }> {
  const { size } = run.sandbox;
  const { rows } = await sql<{ id: string; number: number }>`
    WITH lane AS (
      INSERT INTO lanes (id, last_number) VALUES (${run.laneId}, 1)
      ON CONFLICT (id) DO UPDATE SET last_number = lanes.last_number + 1
      RETURNING id, last_number
    )
    INSERT INTO runs (
      workflow, lane_id, number, pool_id, platform, granted_sandbox, cpus, memory_mib, volume_gib, caches)
    SELECT ${run.workflow}, lane.id, lane.last_number, ${run.poolId}, ${run.platform}, ${JSON.stringify(run.sandbox)},
      ${size.cpus ?? null}, ${size.memoryMiB ?? null}, ${size.volumeGiB ?? null}, ${run.caches} FROM lane
    RETURNING id, number`.execute(tx);
  await wakeClaims(tx);
  const [queued] = rows;
  if (!queued) throw new Error(`The run for lane ${run.laneId} was not queued.`);
  return queued;
}
