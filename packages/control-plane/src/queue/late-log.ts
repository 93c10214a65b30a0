import { type LogChunk, lateLogHours } from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import type { Access } from '../http/access.ts';
import { conflict } from '../http/errors.ts';
import { hashToken } from '../identity/index.ts';
import { appendLines } from '../logs/index.ts';
import { forgetSecretsOf } from './forget-secrets.ts';
import { logOf, type RunRecord, runColumns } from './run.ts';

/** What a runner reads that comes too late: nobody waits for these lines any more. It forgets them. */
const notAwaited = () =>
  conflict('Conflict: no lines of this run are awaited: they were delivered, or the run was begun anew.');

/** The delivery token of a claim. Answers the id of its run; throws 409 when it is no claim's whose lines may still come. */
export const deliveryToken: Access<string> = {
  scheme: 'delivery',
  principalOf: async ({ db }, token) => {
    const run = await db
      .selectFrom('runs')
      .select('id')
      .where('delivery_token_hash', '=', hashToken(token))
      .executeTakeFirst();
    if (!run) throw notAwaited();
    return run.id;
  },
};

/**
 * Takes lines that the lost runner of a run had read, before or after the run was taken from it. Their numbers are the
 * runner's own, so each is stored once, in its place, and before the line that says how the run ended.
 */
export async function takeLateLog(
  { db, runSecrets }: ControlPlane,
  token: string,
  lines: readonly LogChunk[],
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const run = await lockAwaitedRun(tx, token);
    const secrets = await runSecrets.patterns(tx, run.id);
    if (!secrets) throw notAwaited();
    await appendLines(tx, logOf(run), lines, secrets, runSecrets.sealOf(run.id));
  });
}

/** Forgets what is kept for late lines of runs that ended longer ago than they are awaited. */
export async function forgetOverdueLateLogs({ db }: Pick<ControlPlane, 'db'>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ id: string }>`
      SELECT id FROM runs
      WHERE delivery_token_hash IS NOT NULL AND finished_at < now() - make_interval(hours => ${lateLogHours})
      FOR UPDATE SKIP LOCKED`.execute(tx);
    await awaitNoMore(
      tx,
      rows.map(({ id }) => id),
    );
  });
}

/** From now on no lines of these runs are taken any more. */
export async function awaitNoMore(tx: Database, runIds: readonly string[]): Promise<void> {
  for (const runId of runIds) {
    await tx.updateTable('runs').set({ delivery_token_hash: null }).where('id', '=', runId).execute();
    await forgetSecretsOf(tx, runId);
  }
}

/** The run of a delivery token; it stays locked until the transaction ends. Throws 409. */
export async function lockAwaitedRun(tx: Database, token: string): Promise<RunRecord> {
  const { rows } = await sql<RunRecord>`
    SELECT ${runColumns} FROM runs WHERE delivery_token_hash = ${hashToken(token)} FOR UPDATE`.execute(tx);
  const [run] = rows;
  if (!run) throw notAwaited();
  return run;
}
