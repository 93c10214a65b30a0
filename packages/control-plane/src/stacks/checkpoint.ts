import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import type { StoredDocument } from './state-document.ts';

/** Writes the state of one version; the last write wins. It is durable when this answers. */
export async function writeCheckpoint(
  db: Database,
  stackId: string,
  version: number,
  state: StoredDocument,
): Promise<void> {
  await db
    .insertInto('checkpoints')
    .values({ stack_id: stackId, version, ...state })
    .onConflict((conflict) => conflict.columns(['stack_id', 'version']).doUpdateSet({ ...state }))
    .execute();
}

/** The state as of a version: the newest checkpoint up to it. Undefined for a stack that was never updated. */
export async function readCheckpoint(
  db: Database,
  stackId: string,
  version: number,
): Promise<StoredDocument | undefined> {
  return db
    .selectFrom('checkpoints')
    .select(['schema_version', 'features', 'document', 'url_offset', 'resource_count'])
    .where('stack_id', '=', stackId)
    .where('version', '<=', version)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** How many resources the newest state has. */
export async function countResources(db: Database, stackId: string): Promise<number> {
  const row = await db
    .selectFrom('checkpoints')
    .select('resource_count')
    .where('stack_id', '=', stackId)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.resource_count ?? 0;
}

/**
 * With how many resources an update of a stack has to do, as far as one can tell before it: with those that it has, and
 * where it has none, with as many as any stack of its project has had.
 */
export async function expectResources(db: Database, stackId: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT COALESCE(
      NULLIF((SELECT resource_count FROM checkpoints WHERE stack_id = ${stackId} ORDER BY version DESC LIMIT 1), 0),
      (SELECT max(c.resource_count) FROM stacks s JOIN stacks o ON o.project_id = s.project_id
        JOIN checkpoints c ON c.stack_id = o.id WHERE s.id = ${stackId}),
      0) AS count`.execute(db);
  return rows[0]?.count ?? 0;
}
