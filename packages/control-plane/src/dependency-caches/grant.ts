import { type CacheGrant, type CacheTrust, cacheScopesOf } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { formatNamespace } from './namespace.ts';

/**
 * Which entries a run in a pool may use. Pools are apart: who may give work to the runners of one has no say in what
 * those of another install. Undefined when the stack was removed.
 */
export async function grantCache(
  db: Database,
  poolId: string,
  trust: CacheTrust,
): Promise<CacheGrant | undefined> {
  const { rows } = await sql<{ projectId: string; generation: number }>`
    SELECT s.project_id AS "projectId", coalesce(c.generation, 1) AS generation
    FROM stacks s LEFT JOIN dependency_caches c ON c.project_id = s.project_id
    WHERE s.id = ${trust.stackId}`.execute(db);
  const [project] = rows;
  if (!project) return undefined;
  return {
    namespace: formatNamespace({ poolId, ...project }),
    ...cacheScopesOf(trust),
  };
}
