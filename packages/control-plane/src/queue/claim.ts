import { randomUUID } from 'node:crypto';
import type { ClaimRequest, LeaseTiming } from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { hashToken } from '../identity/index.ts';
import type { RunnerRecord } from '../pools/index.ts';
import { deliveryTokenOf, leaseTokenOf } from './claim-tokens.ts';
import { hasRoomFor } from './fits.ts';
import { type RunRecord, runColumns } from './run.ts';

/** A run in a runner's hands. */
export interface Claim {
  readonly run: RunRecord;
  readonly leaseToken: string;
  readonly claimId: string;
}

/** Each lost race means that another claim won it. After so many the caller waits, and looks again later. */
const maximumAttempts = 20;

type ClaimOrder = Pick<ClaimRequest, 'nonce' | 'platform' | 'capacity'>;

/**
 * The run that this nonce claims: the one that it claimed before, or the oldest queued run that the runner may take
 * and that is the head of its lane; undefined when there is none.
 */
export async function claimRun(
  { db, masterKey, leaseTiming }: ControlPlane,
  runner: RunnerRecord,
  order: ClaimOrder,
): Promise<Claim | undefined> {
  for (let attempt = 1; attempt <= maximumAttempts; attempt += 1) {
    const claim = await db.transaction().execute(async (tx): Promise<Claim | 'none' | 'lost-race'> => {
      // Calls with the same nonce take turns: the later one finds what the earlier one claimed.
      await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`claim ${order.nonce}`}, 0))`.execute(tx);
      const held = await runOfNonce(tx, runner, order);
      if (held)
        return { run: held, leaseToken: leaseTokenOf(masterKey, held.claimId), claimId: held.claimId };
      const claimId = randomUUID();
      const leaseToken = leaseTokenOf(masterKey, claimId);
      const deliveryTokenHash = hashToken(deliveryTokenOf(masterKey, claimId));
      const lease = { ...leaseTiming, claimId, tokenHash: hashToken(leaseToken), deliveryTokenHash };
      const run = await takeHead(tx, runner, order, lease);
      return typeof run === 'string' ? run : { run, leaseToken, claimId };
    });
    if (claim === 'none') return undefined;
    if (claim !== 'lost-race') return claim;
  }
  return undefined;
}

async function runOfNonce(db: Database, runner: RunnerRecord, { nonce }: ClaimOrder) {
  const { rows } = await sql<RunRecord & { claimId: string }>`
    SELECT ${runColumns}, claim_id AS "claimId" FROM runs
    WHERE runner_id = ${runner.id} AND claim_nonce = ${nonce} AND state IN ('claimed', 'running')`.execute(
    db,
  );
  return rows[0];
}

/**
 * One statement. It locks a lane whose head is queued (another claim that is busy with a lane is passed over, not waited
 * for), then takes that head. The statement sees the runs as they were when it began; had another claim taken the head
 * in between, the update finds it no longer queued, changes nothing, and `lost-race` says that looking again is worth it.
 */
async function takeHead(
  db: Database,
  runner: RunnerRecord,
  order: ClaimOrder,
  lease: LeaseTiming & { claimId: string; tokenHash: Buffer; deliveryTokenHash: Buffer },
): Promise<RunRecord | 'none' | 'lost-race'> {
  const { rows } = await sql<{ headId: string } & { [K in keyof RunRecord]: RunRecord[K] | null }>`
      WITH head AS (
        SELECT queued.id FROM runs queued JOIN lanes ON lanes.id = queued.lane_id
        WHERE queued.state = 'queued' AND ${hasRoomFor(order.capacity)} AND queued.pool_id = ${runner.poolId} AND queued.platform = ${order.platform}
          AND NOT EXISTS (
            SELECT FROM runs earlier
            WHERE earlier.lane_id = queued.lane_id AND earlier.number < queued.number AND earlier.state <> 'finished')
        ORDER BY queued.created_at, queued.id
        LIMIT 1
        FOR UPDATE OF lanes SKIP LOCKED
      ), runs AS (
        UPDATE runs taken SET
          state = 'claimed', modified_at = now(), claims = taken.claims + 1,
          runner_id = ${runner.id}, claim_nonce = ${order.nonce}, claim_id = ${lease.claimId},
          lease_token_hash = ${lease.tokenHash}, delivery_token_hash = ${lease.deliveryTokenHash},
          lease_seconds = ${lease.leaseSeconds}, free_after_end_seconds = ${lease.freeAfterEndSeconds},
          lease_ends_at = now() + make_interval(secs => ${lease.leaseSeconds})
        FROM head WHERE taken.id = head.id AND taken.state = 'queued'
        RETURNING taken.*
      )
      SELECT head.id AS "headId", ${runColumns} FROM head LEFT JOIN runs ON true`.execute(db);
  const [row] = rows;
  if (!row) return 'none';
  return isTaken(row) ? row : 'lost-race';
}

function isTaken(row: { [K in keyof RunRecord]: RunRecord[K] | null }): row is RunRecord {
  return row.id !== null;
}
