import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

const updatesAtOnce = 100;

/** Removes the events of updates that had ended `before` a time; history keeps the updates. Answers of how many. */
export async function removeEvents(db: Database, before: Date, signal: AbortSignal): Promise<number> {
  let removed = 0;
  while (!signal.aborted) {
    const { rows } = await sql<{ updates: number }>`
      WITH old AS (
        SELECT id FROM updates
        WHERE ended_at < ${before} AND EXISTS (SELECT FROM engine_events WHERE update_id = updates.id)
        LIMIT ${updatesAtOnce}
      ), gone AS (
        DELETE FROM engine_events WHERE update_id IN (SELECT id FROM old)
      )
      SELECT count(*) AS updates FROM old`.execute(db);
    const updates = rows[0]?.updates ?? 0;
    removed += updates;
    if (updates === 0) break;
  }
  return removed;
}
