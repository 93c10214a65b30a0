import { createHmac } from 'node:crypto';
import type { Database } from '../database/database.ts';

/**
 * Makes sure that the database and the master key belong together; the first key that a database sees is its own. Throws
 * for another one: nothing sealed could be opened with it, and tokens that follow from it would be others.
 */
export async function checkMasterKey(db: Database, masterKey: Buffer): Promise<void> {
  const fingerprint = createHmac('sha256', masterKey).update('fingerprint of the master key').digest();
  await db
    .insertInto('master_key')
    .values({ fingerprint })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const known = await db.selectFrom('master_key').select('fingerprint').executeTakeFirstOrThrow();
  if (known.fingerprint.equals(fingerprint)) return;
  throw new Error(
    'This database was made with another master key, and what is sealed in it cannot be opened with this one. Give the key of the control plane that made it (`master-key` in its data directory): as SLIPWAY_MASTER_KEY, or as that file in this data directory.',
  );
}
