import { type ImageFailure, imageFailure } from '@slipway/core';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Database } from '../database/database.ts';
import { isOnline } from './administration.ts';

/** Takes the place of what the runner told before. */
export async function storeImageFailures(
  db: Database,
  runnerId: string,
  failures: readonly ImageFailure[],
): Promise<void> {
  // Told every twenty seconds, and nearly always the same.
  await sql`
    UPDATE runners SET image_failures = ${JSON.stringify(failures)}
    WHERE id = ${runnerId} AND image_failures <> ${JSON.stringify(failures)}`.execute(db);
}

export interface ImageFailureOfRunner {
  readonly hostname: string;
  readonly problem: string;
  readonly failedAt: string;
}

/** What the runners of a pool that are there now have told of an image. */
export async function imageFailuresInPool(
  db: Database,
  poolId: string,
  imageId: string,
): Promise<readonly ImageFailureOfRunner[]> {
  const { rows } = await sql<{ hostname: string; failures: string }>`
    SELECT r.hostname, r.image_failures AS failures FROM runners r
    WHERE r.pool_id = ${poolId} AND r.image_failures <> '[]' AND ${isOnline}
    ORDER BY r.last_seen_at DESC LIMIT 1000`.execute(db);
  return rows.flatMap(({ hostname, failures }) =>
    z
      .array(imageFailure)
      .parse(JSON.parse(failures))
      .filter((failure) => failure.imageId === imageId)
      .map(({ problem, failedAt }) => ({ hostname, problem, failedAt })),
  );
}
