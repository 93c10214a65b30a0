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

/**
 * Writes the state of an update, under its version, while the update is running: false when it is over. That is decided
 * in the statement that writes, so that nothing is written for an update whose stack may be somebody else's by now.
 */
export async function writeCheckpointOfUpdate(
  db: Database,
  updateId: string,
  state: StoredDocument,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    INSERT INTO checkpoints (stack_id, version, schema_version, features, document, url_offset, resource_count)
    SELECT stack_id, version, ${state.schema_version}::integer, ${state.features}, ${state.document},
      ${state.url_offset}::integer, ${state.resource_count}::integer
    FROM updates WHERE id = ${updateId} AND state = 'running' AND lease_ends_at > now() FOR SHARE
    ON CONFLICT (stack_id, version) DO UPDATE SET
      schema_version = excluded.schema_version, features = excluded.features, document = excluded.document,
      url_offset = excluded.url_offset, resource_count = excluded.resource_count, written_at = now()`.execute(
    db,
  );
  return numAffectedRows === 1n;
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
