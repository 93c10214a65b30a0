import { createHmac, timingSafeEqual } from 'node:crypto';
import { type RawBuilder, sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { hashToken, newToken } from '../identity/index.ts';

/** What an update is held by while it runs: who has the token writes for it. */
export interface Lease {
  readonly updateId: string;
  readonly token: string;
}

/**
 * A new token for an update. It shows by itself that this server made it for that update, so that a call with it need
 * not ask the database before its body is read; whether the lease still holds, the database alone knows.
 */
export function newLeaseToken(masterKey: Buffer, updateId: string): string {
  const random = newToken('slp-update');
  return `${random}-${sealOf(masterKey, updateId, random)}`;
}

/** Whether this server made the token for the update, at some time. Others have to be looked up. */
export function isMadeHere(masterKey: Buffer, { updateId, token }: Lease): boolean {
  const end = token.lastIndexOf('-');
  const given = Buffer.from(token.slice(end + 1));
  const expected = Buffer.from(sealOf(masterKey, updateId, token.slice(0, end)));
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function sealOf(masterKey: Buffer, updateId: string, random: string): string {
  return createHmac('sha256', masterKey).update(`slipway/update-lease/${updateId}/${random}`).digest('hex');
}

/**
 * The condition on `updates` of a statement that writes the state of an update: its lease holds, and it may change the
 * stack. It is part of the statement, so that nothing is written for an update whose stack may be somebody else's by now.
 */
export function mayWrite({ updateId, token }: Lease): RawBuilder<boolean> {
  return sql<boolean>`id = ${updateId} AND lease_token_hash = ${hashToken(token)}
    AND state = 'running' AND lease_ends_at > now() AND NOT is_preview`;
}

/** The update that a lease holds, as long as it is running and the lease has not ended. */
export interface LeasedUpdate {
  readonly id: string;
  readonly stackId: string;
  readonly isPreview: boolean;
  readonly version: number;
  readonly runId: string | null;
  readonly running: boolean;
}

/** The CLI sends what is left of its events after the update has ended. */
const tokenOutlivesUpdateSeconds = 10 * 60;

/**
 * Undefined when the token was never this update's, or no longer is: the last events may come a while after the end, and
 * nothing later. `running` is false once the update was completed, cancelled or expired.
 */
export async function updateOfLease(
  db: Database,
  { updateId, token }: Lease,
): Promise<LeasedUpdate | undefined> {
  const { rows } = await sql<LeasedUpdate>`
    SELECT id, stack_id AS "stackId", is_preview AS "isPreview", version, run_id AS "runId",
      state = 'running' AND lease_ends_at > now() AS running
    FROM updates WHERE id = ${updateId} AND lease_token_hash = ${hashToken(token)}
      AND (ended_at IS NULL OR ended_at > now() - ${tokenOutlivesUpdateSeconds} * interval '1 second')`.execute(
    db,
  );
  return rows[0];
}

export async function renewLease(db: Database, updateId: string, seconds: number): Promise<Date | undefined> {
  const { rows } = await sql<{ leaseEndsAt: Date }>`
    UPDATE updates SET lease_ends_at = now() + ${seconds} * interval '1 second'
    WHERE id = ${updateId} AND state = 'running' AND lease_ends_at > now()
    RETURNING lease_ends_at AS "leaseEndsAt"`.execute(db);
  return rows[0]?.leaseEndsAt;
}
