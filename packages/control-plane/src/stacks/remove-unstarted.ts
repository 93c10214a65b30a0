import type { Database } from '../database/database.ts';

/**
 * Removes the updates that were made `before` a time and never started: their CLI has ended between the two calls. They
 * held nothing, and no history shows them. Answers how many were removed.
 */
export async function removeUnstartedUpdates(db: Database, before: Date): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('updates')
    .where('state', '=', 'created')
    .where('created_at', '<', before)
    .executeTakeFirst();
  return Number(numDeletedRows);
}
