import type { Operation } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/** Deployments that are drift runs. */
export const driftOperations: readonly Operation[] = ['detect-drift', 'remediate-drift'];

export interface DriftStatus {
  readonly driftDetected: boolean;
  /** Id of the newest drift run; empty when there was none. */
  readonly latestDriftRun: string;
  readonly runInProgress: boolean;
}

/**
 * Whether the stack has drifted, as far as is known: what its newest dry run of a refresh found, whoever made it, as
 * long as nothing has brought stack and world together since: a refresh, or a drift run that changed something.
 */
export async function driftStatusOf(db: Database, stackId: string): Promise<DriftStatus> {
  const { rows } = await sql<DriftStatus>`
    WITH drift_runs AS (
      SELECT d.id, runs.state, d.version FROM deployments d JOIN runs ON runs.id = d.id
      WHERE d.stack_id = ${stackId} AND d.operation = ANY(${driftOperations})
    ), detection AS (
      SELECT resource_changes, ended_at FROM updates
      WHERE stack_id = ${stackId} AND kind = 'refresh' AND is_preview AND result = 'succeeded'
      ORDER BY ended_at DESC LIMIT 1
    )
    SELECT
      COALESCE((
        SELECT EXISTS (
          SELECT FROM json_each_text(COALESCE(detection.resource_changes, '{}')::json) AS change (operation, count)
          WHERE change.operation <> 'same' AND change.count <> '0')
        AND NOT EXISTS (
          SELECT FROM updates later
          WHERE later.stack_id = ${stackId} AND NOT later.is_preview AND later.result = 'succeeded'
            AND later.ended_at >= detection.ended_at
            AND (later.kind = 'refresh' OR later.run_id IN (SELECT id FROM drift_runs)))
        FROM detection), false) AS "driftDetected",
      COALESCE((SELECT id::text FROM drift_runs ORDER BY version DESC LIMIT 1), '') AS "latestDriftRun",
      EXISTS (SELECT FROM drift_runs WHERE state IN ('claimed', 'running')) AS "runInProgress"`.execute(db);
  const [status] = rows;
  if (!status) throw new Error(`The drift status of the stack ${stackId} could not be read.`);
  return status;
}
