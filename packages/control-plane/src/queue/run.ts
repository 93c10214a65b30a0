import {
  type Cause,
  type Platform,
  type RunOutcome,
  type RunState,
  runSandbox,
  type Workflow,
} from '@slipway/core';
import { type RawBuilder, sql } from 'kysely';
import type { Database } from '../database/database.ts';

/** A run as the queue knows it. */
export interface RunRecord {
  readonly id: string;
  readonly workflow: Workflow;
  readonly laneId: string;
  /** Place in the lane. */
  readonly number: number;
  readonly poolId: string;
  readonly platform: Platform;
  /** What it was granted when it was queued: JSON text (`RunSandbox`). */
  readonly grantedSandbox: string;
  /** Whether it may keep dependencies for later runs. */
  readonly caches: boolean;
  readonly state: RunState;
  readonly outcome: RunOutcome | null;
  readonly cause: Cause | null;
  readonly message: string | null;
  readonly createdAt: Date;
  readonly modifiedAt: Date;
  /** When the job was handed out. */
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly cancelRequestedAt: Date | null;
  /** How often it was claimed. */
  readonly claims: number;
  /** As its runner was told at the last claim. */
  readonly leaseSeconds: number;
}

/** The columns of a `RunRecord`, of a table or CTE named `runs`. */
export const runColumns: RawBuilder<unknown> = sql`
  runs.id, runs.workflow, runs.lane_id AS "laneId", runs.number, runs.pool_id AS "poolId", runs.platform,
  runs.granted_sandbox AS "grantedSandbox", runs.caches, runs.state,
  runs.outcome, runs.cause, runs.message, runs.created_at AS "createdAt", runs.modified_at AS "modifiedAt",
  runs.started_at AS "startedAt", runs.finished_at AS "finishedAt",
  runs.cancel_requested_at AS "cancelRequestedAt", runs.claims, runs.lease_seconds AS "leaseSeconds"`;

/** The log of a run, as it is appended to. */
export function logOf({ id, grantedSandbox }: RunRecord): { runId: string; maximumBytes: number } {
  const { logMiB } = runSandbox.parse(JSON.parse(grantedSandbox));
  return { runId: id, maximumBytes: logMiB * 1024 * 1024 };
}

export async function findRun(db: Database, runId: string): Promise<RunRecord | undefined> {
  const { rows } = await sql<RunRecord>`SELECT ${runColumns} FROM runs WHERE id = ${runId}`.execute(db);
  return rows[0];
}

/** The runs of these ids, by id. */
export async function findRuns(
  db: Database,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, RunRecord>> {
  const { rows } = await sql<RunRecord>`
    SELECT ${runColumns} FROM runs WHERE id = ANY(${runIds}::uuid[])`.execute(db);
  return new Map(rows.map((run) => [run.id, run]));
}
