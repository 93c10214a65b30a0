import type { RegisterRequest } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

export interface RunnerRecord {
  readonly id: string;
  readonly poolId: string;
}

/** Makes a runner known in its pool. Each start of a runner process is a runner of its own. Answers its id. */
export async function registerRunner(
  db: Database,
  poolId: string,
  request: RegisterRequest,
  address: string,
): Promise<string> {
  const { id } = await db
    .insertInto('runners')
    .values({
      pool_id: poolId,
      hostname: request.hostname,
      process_id: request.pid,
      version: request.version,
      platform: request.platform,
      isolation: request.isolation,
      slots: request.slots,
      address,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** The runner of this id in the pool, marked as seen; undefined when the pool has none of that id. */
export async function findRunner(
  db: Database,
  poolId: string,
  runnerId: string,
): Promise<RunnerRecord | undefined> {
  const { rows } = await sql<RunnerRecord>`
    UPDATE runners SET last_seen_at = now()
    WHERE id::text = ${runnerId} AND pool_id = ${poolId}
    RETURNING id, pool_id AS "poolId"`.execute(db);
  return rows[0];
}

/** A host whose runner was not seen for so long counts as given up. */
const hostDays = 7;

/** Whether runners of the pool were seen lately on other hosts than this one. */
export async function otherHostsOfPool(db: Database, poolId: string, hostname: string): Promise<boolean> {
  const { rows } = await sql`
    SELECT FROM runners
    WHERE pool_id = ${poolId} AND hostname <> ${hostname} AND last_seen_at > now() - make_interval(days => ${hostDays})
    LIMIT 1`.execute(db);
  return rows.length > 0;
}
