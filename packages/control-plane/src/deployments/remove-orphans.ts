import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { removeRunsIn } from '../queue/index.ts';

/**
 * Removes the deployments, with their runs, that had finished `before` a time and whose stack is gone: nobody can ask for
 * them any more. Answers how many were removed.
 */
export function removeDeploymentsOfRemovedStacks(
  db: Database,
  before: Date,
  signal: AbortSignal,
): Promise<number> {
  return removeRunsIn(
    db,
    sql`
      SELECT d.id FROM deployments d JOIN runs ON runs.id = d.id
      WHERE runs.state = 'finished' AND runs.finished_at < ${before}
        AND NOT EXISTS (SELECT FROM stacks s WHERE s.id = d.stack_id)`,
    signal,
  );
}
