import { createHmac } from 'node:crypto';
import type { Database } from '../database/database.ts';
import type { Access } from '../http/access.ts';
import { unauthorized } from '../http/errors.ts';
import { hashToken } from '../identity/index.ts';

export interface PoolRecord {
  readonly id: string;
  readonly organizationId: string;
  readonly name: string;
}

const defaultPoolName = 'default';

/**
 * Makes sure that the organization has a default pool, so that a run always has one to go to. Answers its token; the
 * caller keeps it in a file. It follows from the master key, so that every control plane on a database, and one that has
 * lost the file, answers the same one, with which its runners go on. `token` is what the file holds: a pool keeps the one
 * that it has.
 */
export async function ensureDefaultPool(
  { db, masterKey }: { readonly db: Database; readonly masterKey: Buffer },
  organization: string,
  token: string | undefined,
): Promise<string> {
  return db.transaction().execute(async (tx) => {
    const { id: organizationId } = await tx
      .selectFrom('organizations')
      .select('id')
      .where('name', '=', organization)
      .forUpdate()
      .executeTakeFirstOrThrow();
    const pool = await tx
      .selectFrom('pools')
      .select(['id', 'token_hash'])
      .where('organization_id', '=', organizationId)
      .where('is_default', '=', true)
      .executeTakeFirst();
    if (pool && token !== undefined && pool.token_hash.equals(hashToken(token))) return token;
    const issued = defaultPoolToken(masterKey, organizationId);
    const token_hash = hashToken(issued);
    if (pool) await tx.updateTable('pools').set({ token_hash }).where('id', '=', pool.id).execute();
    else {
      await tx
        .insertInto('pools')
        .values({
          organization_id: organizationId,
          name: defaultPoolName,
          description: 'Runs go here when their settings name no pool.',
          is_default: true,
          token_hash,
        })
        .execute();
    }
    return issued;
  });
}

function defaultPoolToken(masterKey: Buffer, organizationId: string): string {
  const derived = createHmac('sha256', masterKey).update(`token of the default pool\0${organizationId}`);
  return `slp-pool-${derived.digest('hex')}`;
}

/** The token with which runners join a pool and claim its runs. */
export const poolToken: Access<PoolRecord> = {
  scheme: 'token',
  principalOf: async ({ db }, token) => {
    const pool = await db
      .selectFrom('pools')
      .select(['id', 'organization_id as organizationId', 'name'])
      .where('token_hash', '=', hashToken(token))
      .executeTakeFirst();
    if (!pool) throw unauthorized('Unauthorized: no pool has this token. See `--pool-token` of the runner.');
    return pool;
  },
};

/** The pool of this id in the organization, or without an id its default pool; undefined when there is none. */
export async function poolOfRun(
  db: Database,
  organization: string,
  poolId: string | null | undefined,
): Promise<PoolRecord | undefined> {
  const pools = db
    .selectFrom('pools')
    .innerJoin('organizations', 'organizations.id', 'pools.organization_id')
    .select(['pools.id', 'pools.organization_id as organizationId', 'pools.name'])
    .where('organizations.name', '=', organization);
  if (!poolId) return pools.where('pools.is_default', '=', true).executeTakeFirst();
  // Compared as text, so that what is no UUID is simply not found.
  return pools.where((e) => e(e.cast<string>('pools.id', 'text'), '=', poolId)).executeTakeFirst();
}
