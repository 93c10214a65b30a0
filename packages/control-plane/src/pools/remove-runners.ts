import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/**
 * Removes the runners that were not seen since `before`; each start of a runner made one. Those that hold a run stay,
 * until that run is taken from them. Answers how many were removed.
 */
export async function removeRunners(db: Database, before: Date): Promise<number> {
  const { rows } = await sql`
    DELETE FROM runners WHERE last_seen_at < ${before}
      AND NOT EXISTS (SELECT FROM runs WHERE runs.runner_id = runners.id AND runs.state IN ('claimed', 'running'))
    RETURNING id`.execute(db);
  return rows.length;
}
