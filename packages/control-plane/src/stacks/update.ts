import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { hashToken, type Principal } from '../identity/index.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { appendFailedSummary } from './events.ts';
import { newLeaseToken } from './lease.ts';
import { closeState } from './running-state.ts';
import { isDuplicate } from './stack.ts';
import type { StoredDocument } from './state-document.ts';
import type { UpdateKind } from './tables.ts';

/** What the CLI says of an update when it makes one (`apitype.UpdateProgramRequest`). */
export interface NewUpdate {
  readonly stackId: string;
  readonly kind: UpdateKind;
  /** It changes nothing: it takes no lock and no version, and history does not show it. */
  readonly isPreview: boolean;
  readonly message: string;
  /** JSON text, kept as it came. */
  readonly environment: string;
  readonly config: string;
}

/** Makes an update of a stack; it holds nothing until it is started. */
export async function createUpdate(db: Database, principal: Principal, update: NewUpdate): Promise<string> {
  const { id } = await db
    .insertInto('updates')
    .values({
      stack_id: update.stackId,
      kind: update.kind,
      is_preview: update.isPreview,
      message: update.message,
      environment: update.environment,
      config: update.config,
      run_id: principal.kind === 'job' ? principal.runId : null,
      requested_by: principal.kind === 'user' ? principal.userId : null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** A started update: the lease with which its CLI writes, until it is completed. */
export interface StartedUpdate {
  readonly version: number;
  readonly token: string;
  readonly leaseEndsAt: Date;
}

/**
 * Starts an update: takes the stack's lock (previews take none) and the next version. Undefined when another update
 * holds the stack. `tags` replace the stack's.
 */
export async function startUpdate(
  controlPlane: ControlPlane,
  update: { id: string; stackId: string; isPreview: boolean },
  tags: Record<string, string> | undefined,
  leaseSeconds: number,
): Promise<StartedUpdate | undefined> {
  const token = newLeaseToken(controlPlane.masterKey, update.id);
  try {
    return await controlPlane.db.transaction().execute(async (tx) => {
      const increment = update.isPreview ? 0 : 1;
      const stack = await sql<{ version: number }>`
        UPDATE stacks SET version = version + ${increment}, tags = COALESCE(${tags ? JSON.stringify(tags) : null}::jsonb, tags)
        WHERE id = ${update.stackId} RETURNING version`.execute(tx);
      const version = stack.rows[0]?.version ?? 0;
      // With the stack's row locked: an update whose lease has ended makes room.
      await endExpiredUpdates(tx, controlPlane.now(), update.stackId);
      const started = await sql<{ leaseEndsAt: Date }>`
        UPDATE updates SET state = 'running', version = ${version}, started_at = now(),
          lease_token_hash = ${hashToken(token)}, lease_ends_at = now() + ${leaseSeconds} * interval '1 second'
        WHERE id = ${update.id} AND state = 'created' RETURNING lease_ends_at AS "leaseEndsAt"`.execute(tx);
      const [row] = started.rows;
      if (!row) throw new UpdateNotStartable();
      return { version, token, leaseEndsAt: row.leaseEndsAt };
    });
  } catch (error) {
    if (isDuplicate(error) || error instanceof UpdateNotStartable) return undefined;
    throw error;
  }
}

class UpdateNotStartable extends Error {}

/**
 * Ends running updates and frees their stacks. A failed one gets a final failed summary event where it has none: a CLI
 * that follows it judges the outcome by that event, and takes its absence for success.
 */
async function endUpdates(
  db: Database,
  updateIds: readonly string[],
  result: 'succeeded' | 'failed',
  now: Date,
) {
  for (const id of updateIds) {
    await inTransaction(db, async (tx) => {
      const ended = await tx
        .updateTable('updates')
        .set({ state: 'finished', result, ended_at: now })
        .where('id', '=', id)
        .where('state', '=', 'running')
        .executeTakeFirst();
      if (ended.numUpdatedRows === 0n) return;
      const isStateKept = await closeState(tx, id, now);
      if (!isStateKept)
        await tx.updateTable('updates').set({ result: 'failed' }).where('id', '=', id).execute();
      if (result === 'failed' || !isStateKept) await appendFailedSummary(tx, id, now);
    });
  }
}

/** Does `work` in the transaction that `db` is, or in one of its own. */
async function inTransaction(db: Database, work: (tx: Database) => Promise<void>): Promise<void> {
  await (db.isTransaction ? work(db) : db.transaction().execute(work));
}

export async function completeUpdate(
  db: Database,
  updateId: string,
  result: 'succeeded' | 'failed',
  now: Date,
) {
  await endUpdates(db, [updateId], result, now);
}

/** Ends the updates that a run still has running: it is over, and nobody writes for them any more. */
export async function endUpdatesOfRun(db: Database, runId: string, now: Date): Promise<void> {
  const running = await db
    .selectFrom('updates')
    .select('id')
    .where('run_id', '=', runId)
    .where('state', '=', 'running')
    .execute();
  await endUpdates(
    db,
    running.map(({ id }) => id),
    'failed',
    now,
  );
}

/**
 * Ends the updates whose lease has ended, of one stack or of all. Outside of a transaction each is ended by itself: one
 * that cannot be does not keep the others, and is told by an `AggregateError` in the end.
 */
export async function endExpiredUpdates(db: Database, now: Date, stackId?: string): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    SELECT id FROM updates WHERE state = 'running' AND lease_ends_at <= now()
      AND (${stackId ?? null}::uuid IS NULL OR stack_id = ${stackId ?? null})
    ORDER BY lease_ends_at`.execute(db);
  const failures: unknown[] = [];
  for (const { id } of rows) {
    await endUpdates(db, [id], 'failed', now).catch((error: unknown) => {
      if (db.isTransaction) throw error;
      failures.push(new Error(`The update ${id} could not be ended`, { cause: error }));
    });
  }
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} updates could not be ended`);
}

/** Cancels an update: its CLI learns of it by its lease, which is refused from now on. */
export async function cancelUpdate(db: Database, updateId: string, now: Date): Promise<void> {
  await completeUpdate(db, updateId, 'failed', now);
}

/** The running update that may change the stack, else the newest started one. */
export async function lastUpdate(db: Database, stackId: string) {
  return db
    .selectFrom('updates')
    .leftJoin('users', 'users.id', 'updates.requested_by')
    .select(['updates.id', 'kind', 'state', 'started_at', 'updates.created_at', 'users.login as author'])
    .where('stack_id', '=', stackId)
    .where('state', '<>', 'created')
    .where('is_preview', '=', false)
    .orderBy('updates.version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Replaces the state of a stack, as an update of its own. Undefined when another update holds the stack. */
export async function importState(
  controlPlane: ControlPlane,
  stackId: string,
  principal: Principal,
  state: StoredDocument,
): Promise<string | undefined> {
  const { db } = controlPlane;
  const id = await createUpdate(db, principal, {
    stackId,
    kind: 'import',
    isPreview: false,
    message: '',
    environment: '{}',
    config: '{}',
  });
  const started = await startUpdate(controlPlane, { id, stackId, isPreview: false }, undefined, 300);
  if (!started) return undefined;
  await db.transaction().execute(async (tx) => {
    await writeCheckpoint(tx, stackId, started.version, state);
    await endUpdates(tx, [id], 'succeeded', controlPlane.now());
  });
  return id;
}
