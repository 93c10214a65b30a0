import { type RawBuilder, sql } from 'kysely';
import type { Database } from '../database/database.ts';

/** One statement removes so many: each takes its log along, which may have a million lines. */
const runsAtOnce = 20;

/**
 * Removes the runs that had finished `before` a time, with their steps and logs and what else belongs to them. The newest
 * run of each lane stays, whatever its age: it tells how its stack was left. Answers how many were removed.
 */
export function removeFinishedRuns(db: Database, before: Date, signal: AbortSignal): Promise<number> {
  return removeRunsIn(
    db,
    sql`
      SELECT runs.id FROM runs JOIN lanes ON lanes.id = runs.lane_id
      WHERE runs.state = 'finished' AND runs.finished_at < ${before} AND runs.number < lanes.last_number`,
    signal,
  );
}

/** Removes the finished runs that `selected`, a query, answers the ids of. Answers how many were removed. */
export async function removeRunsIn(
  db: Database,
  selected: RawBuilder<unknown>,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0;
  while (!signal.aborted) {
    const { rows } = await sql`
      DELETE FROM runs WHERE state = 'finished' AND id IN (${selected} LIMIT ${runsAtOnce}) RETURNING id`.execute(
      db,
    );
    removed += rows.length;
    if (rows.length === 0) break;
  }
  return removed;
}
