import type { CacheGrant, CacheOffer, SharedEntry } from '@slipway/core';
import { sql } from 'kysely';
import type { StoredPart } from '../blobs/index.ts';
import type { Database } from '../database/database.ts';

/** An entry, complete or on its way. */
export interface EntryRecord {
  readonly id: string;
  readonly namespace: string;
  readonly scope: string;
  readonly name: string;
  readonly blobBytes: number;
  readonly sha256: string;
  /** Null once the blob is complete. */
  readonly uploadId: string | null;
}

const columns = sql`id, namespace, scope, name, blob_bytes AS "blobBytes", sha256, upload_id AS "uploadId"`;

/** The complete entry of this name in the first scope that has one; it now counts as read. */
export async function readEntry(
  db: Database,
  { namespace, readScopes }: CacheGrant,
  name: string,
): Promise<SharedEntry | null> {
  const { rows } = await sql<SharedEntry>`
    UPDATE cache_entries SET read_at = now() WHERE id = (
      SELECT id FROM cache_entries
      WHERE namespace = ${namespace} AND scope = ANY(${readScopes}::text[]) AND name = ${name} AND upload_id IS NULL
      ORDER BY array_position(${readScopes}::text[], scope) LIMIT 1)
    RETURNING id AS "entryId", scope, blob_bytes AS "blobBytes", sha256`.execute(db);
  return rows[0] ?? null;
}

export async function findEntry(db: Database, id: string): Promise<EntryRecord | undefined> {
  const { rows } = await sql<EntryRecord>`SELECT ${columns} FROM cache_entries WHERE id = ${id}`.execute(db);
  return rows[0];
}

/** All entries of a name that a run may write: the complete one and those on their way. */
export async function entriesToWrite(
  db: Database,
  { namespace, writeScope }: CacheGrant,
  name: string,
): Promise<readonly EntryRecord[]> {
  const { rows } = await sql<EntryRecord>`
    SELECT ${columns} FROM cache_entries
    WHERE namespace = ${namespace} AND scope = ${writeScope} AND name = ${name}`.execute(db);
  return rows;
}

export async function insertEntry(
  db: Database,
  { namespace, writeScope }: CacheGrant,
  { name, blobBytes, sha256 }: CacheOffer,
  upload: { readonly blobId: string; readonly uploadId: string },
): Promise<void> {
  await db
    .insertInto('cache_entries')
    .values({
      ...{ id: upload.blobId, namespace, scope: writeScope, name, sha256 },
      ...{ blob_bytes: blobBytes, upload_id: upload.uploadId },
    })
    .execute();
}

export async function storedParts(db: Database, entryId: string): Promise<readonly StoredPart[]> {
  return db
    .selectFrom('cache_entry_parts')
    .select(['part', 'tag'])
    .where('entry_id', '=', entryId)
    .orderBy('part')
    .execute();
}

export async function addPart(db: Database, entryId: string, { part, tag }: StoredPart): Promise<void> {
  await db
    .insertInto('cache_entry_parts')
    .values({ entry_id: entryId, part, tag })
    .onConflict((conflict) => conflict.columns(['entry_id', 'part']).doUpdateSet({ tag }))
    .execute();
}

/** Makes an entry readable; false when another of its name was complete before. */
export async function completeEntry(db: Database, id: string): Promise<boolean> {
  try {
    await db.updateTable('cache_entries').set({ upload_id: null }).where('id', '=', id).execute();
    return true;
  } catch (error) {
    // The index on complete entries: PostgreSQL's "duplicate key".
    if (error instanceof Error && 'code' in error && error.code === '23505') return false;
    throw error;
  }
}

/** Only after its blob is gone: a row is what its blob is found by. */
export async function deleteEntry(db: Database, id: string): Promise<void> {
  await db.deleteFrom('cache_entries').where('id', '=', id).execute();
}
