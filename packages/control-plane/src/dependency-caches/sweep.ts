import { cacheLimits } from '@slipway/core';
import { sql } from 'kysely';
import type { BlobStorage } from '../blobs/index.ts';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { deleteEntry } from './entries.ts';

export interface SharedCache {
  readonly storage: BlobStorage;
  /** Room for all entries together; the least recently read ones go first. */
  readonly maximumBytes: number;
}

type Dropped = { readonly id: string; readonly uploadId: string | null };

/** An upload that has not ended by then will not end. */
const uploadHours = 24;

/**
 * Drops entries that nobody can read any more (their project is gone, or its cache was cleared), that nobody has read for
 * a month, uploads that never ended, and the least recently read ones while all are too large together. Answers how many.
 */
export async function sweepEntries(
  { db, log }: Pick<ControlPlane, 'db' | 'log'>,
  { storage, maximumBytes }: SharedCache,
): Promise<number> {
  const dropped = await entriesToDrop(db, maximumBytes);
  for (const { id, uploadId } of dropped) {
    try {
      if (uploadId === null) await storage.remove(id);
      else await storage.abort({ blobId: id, uploadId });
      await deleteEntry(db, id);
    } catch (error) {
      // It stays known, and is tried again at the next time.
      log.warn({ err: error, entryId: id }, 'A cache entry could not be removed from the blob storage');
    }
  }
  return dropped.length;
}

async function entriesToDrop(db: Database, maximumBytes: number): Promise<readonly Dropped[]> {
  const { rows } = await sql<Dropped>`
    SELECT id, upload_id AS "uploadId" FROM (
      SELECT e.*, sum(e.blob_bytes) OVER (ORDER BY e.read_at DESC, e.id) AS newer_bytes, EXISTS (
        SELECT FROM projects p LEFT JOIN dependency_caches c ON c.project_id = p.id
        WHERE p.id::text = split_part(e.namespace, '/', 2)
          AND coalesce(c.generation, 1)::text = split_part(e.namespace, '/', 3)) AS is_current
      FROM cache_entries e) AS entries
    WHERE NOT is_current
      OR newer_bytes > ${maximumBytes}
      OR read_at < now() - make_interval(days => ${cacheLimits.unreadDays})
      OR (upload_id IS NOT NULL AND created_at < now() - make_interval(hours => ${uploadHours}))`.execute(db);
  return rows;
}
