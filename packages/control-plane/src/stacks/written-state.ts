import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { type Lease, mayWrite } from './lease.ts';
import { type StoredDocument, splitState } from './state-document.ts';

const unpack = promisify(gunzip);

/**
 * Keeps the whole state that a running update has reached, as it came: a checkpoint body as gzip, which nobody has
 * looked into. The last write wins. It is durable when this answers: false when the lease may not write.
 */
export async function writeState(
  db: Database,
  lease: Lease,
  body: Buffer,
  ownUrls: readonly string[],
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    INSERT INTO written_states (update_id, body, own_urls)
    SELECT id, ${body}::bytea, ${ownUrls}::text[] FROM updates WHERE ${mayWrite(lease)} FOR SHARE
    ON CONFLICT (update_id) DO UPDATE SET body = excluded.body, own_urls = excluded.own_urls`.execute(db);
  return numAffectedRows === 1n;
}

/** The state that an update wrote last, as it came. */
export interface WrittenState {
  readonly body: Buffer;
  readonly own_urls: readonly string[];
}

/** Undefined for an update that wrote none. */
export async function readWrittenState(db: Database, updateId: string): Promise<WrittenState | undefined> {
  return db
    .selectFrom('written_states')
    .select(['body', 'own_urls'])
    .where('update_id', '=', updateId)
    .executeTakeFirst();
}

/** Throws for what is no state. */
export async function takeApart({ body, own_urls }: WrittenState): Promise<StoredDocument> {
  return splitState((await unpack(body)).toString('utf8'), own_urls);
}
