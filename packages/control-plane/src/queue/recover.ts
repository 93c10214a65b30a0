import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { endRun } from './finish.ts';
import { recoveryOf } from './rules.ts';
import { type RunRecord, runColumns } from './run.ts';
import { wakeClaims } from './wake-up.ts';

/** So many runs are recovered in one transaction. */
const batchSize = 50;
const intervalMilliseconds = 1000;

/**
 * Takes runs from runners that gave no sign of life: a runner destroys its sandbox before its lease ends, and
 * `free_after_end_seconds` after that end the run is no longer its own. Answers how many runs were taken.
 */
export async function recoverLostRuns(controlPlane: ControlPlane): Promise<number> {
  let recovered = 0;
  for (;;) {
    const count = await recoverBatch(controlPlane);
    recovered += count;
    if (count < batchSize) return recovered;
  }
}

async function recoverBatch({ db, now, log }: ControlPlane): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const { rows } = await sql<RunRecord>`
      SELECT ${runColumns} FROM runs
      WHERE state IN ('claimed', 'running')
        AND lease_ends_at <= now() - make_interval(secs => free_after_end_seconds)
      ORDER BY lease_ends_at LIMIT ${batchSize}
      FOR UPDATE SKIP LOCKED`.execute(tx);
    for (const run of rows) {
      const recovery = recoveryOf(run);
      log.warn({ runId: run.id, state: run.state, recovery: recovery.kind }, 'a runner was lost');
      if (recovery.kind === 'requeue') await requeue(tx, run.id);
      else await endRun(tx, run.id, recovery, now());
    }
    return rows.length;
  });
}

/** The run keeps its number, so it is the head of its lane again. What the lost runner logged is forgotten. */
async function requeue(tx: Database, runId: string): Promise<void> {
  await sql`
    UPDATE runs SET
      state = 'queued', modified_at = now(), runner_id = NULL, claim_nonce = NULL, claim_id = NULL,
      lease_token_hash = NULL, lease_ends_at = NULL, sandbox = NULL, log_bytes = 0
    WHERE id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_log_lines WHERE run_id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_steps WHERE run_id = ${runId}`.execute(tx);
  await wakeClaims(tx);
}

/** Recovers lost runs every second for as long as the server lives. */
export function keepRecovering(app: FastifyInstance, controlPlane: ControlPlane): void {
  const closing = new AbortController();
  let recovering: Promise<void> = Promise.resolve();
  app.addHook('onReady', async () => {
    recovering = recoverUntil(controlPlane, closing.signal);
  });
  app.addHook('onClose', async () => {
    closing.abort();
    await recovering;
  });
}

async function recoverUntil(controlPlane: ControlPlane, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await recoverLostRuns(controlPlane).catch((error: unknown) =>
      controlPlane.log.error({ err: error }, 'lost runs could not be recovered; trying again'),
    );
    await sleep(intervalMilliseconds, undefined, { signal }).catch(() => undefined);
  }
}
