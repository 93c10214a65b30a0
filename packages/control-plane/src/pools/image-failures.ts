import type { ImageFailure } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { isOnline } from './administration.ts';

/** Takes the place of what the runner told before. */
export async function storeImageFailures(
  db: Database,
  runnerId: string,
  failures: readonly ImageFailure[],
): Promise<void> {
  const text = JSON.stringify(failures);
  // Told every twenty seconds, and nearly always the same.
  await sql`
    UPDATE runners SET image_failures = ${text}
    WHERE id = ${runnerId} AND image_failures <> ${text}`.execute(db);
}

export interface ImageFailureOfRunner {
  readonly hostname: string;
  readonly problem: string;
  readonly failedAt: string;
}

/** Nobody reads what more runners say. */
const maximumRunners = 100;

/** What the runners of a pool that are there now have told of an image: those that were seen last. */
export async function imageFailuresInPool(
  db: Database,
  poolId: string,
  imageId: string,
): Promise<readonly ImageFailureOfRunner[]> {
  // Runners tell of up to a hundred images each: what they say of others stays in the database.
  const { rows } = await sql<ImageFailureOfRunner>`
    SELECT r.hostname, failure ->> 'problem' AS problem, failure ->> 'failedAt' AS "failedAt"
    FROM runners r, jsonb_array_elements(r.image_failures::jsonb) failure
    WHERE r.pool_id = ${poolId} AND position(${imageId} IN r.image_failures) > 0
      AND failure ->> 'imageId' = ${imageId} AND ${isOnline}
    ORDER BY r.last_seen_at DESC LIMIT ${maximumRunners}`.execute(db);
  return rows;
}
