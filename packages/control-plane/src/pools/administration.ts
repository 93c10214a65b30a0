import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { hashToken, newToken } from '../identity/index.ts';

/** A runner's waiting claim is a sign of life at least this often (`waitSeconds` is at most 30). */
const onlineSeconds = 60;

export interface PoolDetails {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly isDefault: boolean;
  readonly createdAt: Date;
  /** Newest sign of life of any of its runners. */
  readonly lastSeenAt: Date | null;
  readonly lastRunAt: Date | null;
  readonly isOnline: boolean;
}

/** Whether a runner `r` has given a sign of life lately: as a runner, or through a run that it holds. */
export const isOnline = sql<boolean>`
  (r.last_seen_at > now() - make_interval(secs => ${onlineSeconds})
    OR EXISTS (SELECT FROM runs WHERE runs.runner_id = r.id AND runs.state IN ('claimed', 'running')))`;

export async function listPools(db: Database, organization: string): Promise<readonly PoolDetails[]> {
  const { rows } = await sql<PoolDetails>`
    SELECT pools.id, pools.name, pools.description, pools.is_default AS "isDefault", pools.created_at AS "createdAt",
      (SELECT max(r.last_seen_at) FROM runners r WHERE r.pool_id = pools.id) AS "lastSeenAt",
      (SELECT max(runs.started_at) FROM runs WHERE runs.pool_id = pools.id) AS "lastRunAt",
      EXISTS (SELECT FROM runners r WHERE r.pool_id = pools.id AND ${isOnline}) AS "isOnline"
    FROM pools JOIN organizations o ON o.id = pools.organization_id
    WHERE o.name = ${organization} ORDER BY pools.created_at`.execute(db);
  return rows;
}

/** The runners of a pool that were seen within a day (`DeploymentAgentMetadata` of Pulumi's REST API). */
export async function runnersOfPool(db: Database, poolId: string) {
  const { rows } = await sql<{
    hostname: string;
    ip: string;
    pid: string;
    platform: string;
    version: string;
    lastSeen: number;
    status: 'online' | 'offline';
  }>`
    SELECT r.hostname, r.address AS ip, r.process_id::text AS pid, r.platform, r.version,
      floor(extract(epoch FROM r.last_seen_at))::bigint AS "lastSeen",
      CASE WHEN ${isOnline} THEN 'online' ELSE 'offline' END AS status
    FROM runners r WHERE r.pool_id = ${poolId} AND r.last_seen_at > now() - interval '1 day'
    ORDER BY r.last_seen_at DESC LIMIT 1000`.execute(db);
  return rows;
}

/** The runners of a pool that would take a run now, and the pool's name. */
export async function runnersOnline(
  db: Database,
  poolId: string,
): Promise<{ poolName: string; runners: readonly { hostname: string; capacity: string | null }[] }> {
  const { name } = await db
    .selectFrom('pools')
    .select('name')
    .where('id', '=', poolId)
    .executeTakeFirstOrThrow();
  const { rows } = await sql<{ hostname: string; capacity: string | null }>`
    SELECT r.hostname, r.capacity FROM runners r WHERE r.pool_id = ${poolId} AND ${isOnline}
    ORDER BY r.last_seen_at DESC LIMIT 1000`.execute(db);
  return { poolName: name, runners: rows };
}

/** A new pool and its token, which is shown this once; undefined when the name is taken. */
export async function createPool(
  db: Database,
  organization: string,
  pool: { readonly name: string; readonly description: string },
): Promise<{ id: string; token: string } | undefined> {
  const token = newToken('slp-pool');
  const { rows } = await sql<{ id: string }>`
    INSERT INTO pools (organization_id, name, description, token_hash)
    SELECT id, ${pool.name}, ${pool.description}, ${hashToken(token)} FROM organizations WHERE name = ${organization}
    ON CONFLICT (organization_id, name) DO NOTHING RETURNING id`.execute(db);
  return rows[0] && { id: rows[0].id, token };
}

/** Whether the name was free. */
export async function renamePool(
  db: Database,
  poolId: string,
  pool: { readonly name: string; readonly description: string },
): Promise<boolean> {
  const { rows } = await sql`
    UPDATE pools SET name = ${pool.name}, description = ${pool.description}
    WHERE id = ${poolId} AND NOT EXISTS (
      SELECT FROM pools other
      WHERE other.organization_id = pools.organization_id AND other.name = ${pool.name} AND other.id <> pools.id)
    RETURNING id`.execute(db);
  return rows.length > 0;
}

/**
 * Removes a pool; its queued runs and the history of its runs go to the default pool. Answers why it was not removed: a
 * runner holds a run of it, or (unless forced) settings of stacks name it.
 */
export async function removePool(
  db: Database,
  poolId: string,
  isForced: boolean,
): Promise<string | undefined> {
  return db.transaction().execute(async (tx) => {
    const held = await sql`
      SELECT FROM runs WHERE pool_id = ${poolId} AND state IN ('claimed', 'running') LIMIT 1`.execute(tx);
    if (held.rows.length > 0) return 'one of its runners is executing a run; cancel it, or wait for its end.';
    const users = await sql<{ name: string }>`
      SELECT p.name || '/' || s.name AS name FROM deployment_settings d
      JOIN stacks s ON s.id = d.stack_id JOIN projects p ON p.id = s.project_id
      WHERE d.settings::json ->> 'agentPoolID' = ${poolId} LIMIT 5`.execute(tx);
    if (users.rows.length > 0 && !isForced) {
      const names = users.rows.map(({ name }) => name).join(', ');
      return `the settings of these stacks name it: ${names}. Change them, or add \`?force=true\`.`;
    }
    await sql`
      UPDATE runs SET pool_id = (
        SELECT other.id FROM pools JOIN pools other USING (organization_id)
        WHERE pools.id = ${poolId} AND other.is_default)
      WHERE pool_id = ${poolId}`.execute(tx);
    await sql`DELETE FROM pools WHERE id = ${poolId}`.execute(tx);
    return undefined;
  });
}
