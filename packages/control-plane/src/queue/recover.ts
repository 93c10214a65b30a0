import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { endRun } from './finish.ts';
import { forgetOverdueLateLogs } from './late-log.ts';
import { recoveryOf } from './rules.ts';
import { type RunRecord, runColumns } from './run.ts';
import { wakeClaims } from './wake-up.ts';

const intervalMilliseconds = 1000;

/**
 * Takes runs from runners that gave no sign of life: a runner destroys its sandbox before its lease ends, and
 * `free_after_end_seconds` after that end the run is no longer its own. Each is taken by itself, so that one that cannot
 * be does not keep the others. Answers those that could not be taken, with what was in the way.
 */
export async function recoverLostRuns(controlPlane: ControlPlane): Promise<ReadonlyMap<string, unknown>> {
  const failures = new Map<string, unknown>();
  for (;;) {
    const run = await recoverNext(controlPlane, failures);
    if (run === 'none') return failures;
  }
}

/** Takes the run that was lost first, those apart that `failures` names; adds to them when it cannot. */
async function recoverNext(
  { db, now, log }: ControlPlane,
  failures: Map<string, unknown>,
): Promise<'done' | 'none'> {
  let lost: RunRecord | undefined;
  try {
    return await db.transaction().execute(async (tx) => {
      const { rows } = await sql<RunRecord>`
        SELECT ${runColumns} FROM runs
        WHERE state IN ('claimed', 'running')
          AND lease_ends_at <= now() - make_interval(secs => free_after_end_seconds)
          AND NOT id = ANY(${[...failures.keys()]}::uuid[])
        ORDER BY lease_ends_at LIMIT 1
        FOR UPDATE SKIP LOCKED`.execute(tx);
      lost = rows[0];
      if (!lost) return 'none';
      await recoverRun({ now, log }, tx, lost);
      return 'done';
    });
  } catch (error) {
    if (!lost) throw error;
    failures.set(lost.id, error);
    return 'done';
  }
}

/** Takes a run, which the caller has locked, from the runner that was lost: another one may have it, or it ends. */
export async function recoverRun(
  { now, log }: Pick<ControlPlane, 'now' | 'log'>,
  tx: Database,
  run: RunRecord,
): Promise<void> {
  const recovery = recoveryOf(run);
  if (recovery.kind === 'requeue') await requeue(tx, run.id);
  else await endRun(tx, run.id, recovery, now());
  log.warn({ runId: run.id, state: run.state, recovery: recovery.kind }, 'a runner was lost');
}

/** The run keeps its number, so it is the head of its lane again. What the lost runner logged is forgotten. */
async function requeue(tx: Database, runId: string): Promise<void> {
  await sql`
    UPDATE runs SET
      state = 'queued', modified_at = now(), runner_id = NULL, claim_nonce = NULL, claim_id = NULL,
      lease_token_hash = NULL, delivery_token_hash = NULL, lease_ends_at = NULL, sandbox = NULL, usage = NULL, log_bytes = 0
    WHERE id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_log_chunks WHERE run_id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_log_blocks WHERE run_id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_steps WHERE run_id = ${runId}`.execute(tx);
  await sql`DELETE FROM run_usage_samples WHERE run_id = ${runId}`.execute(tx);
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
  const { log } = controlPlane;
  let reported = new Set<string>();
  while (!signal.aborted) {
    try {
      const failures = await recoverLostRuns(controlPlane);
      for (const [runId, err] of failures) {
        // It is tried again every second, and said once.
        if (!reported.has(runId))
          log.error({ runId, err }, 'a lost run could not be recovered; trying again');
      }
      reported = new Set(failures.keys());
      await forgetOverdueLateLogs(controlPlane);
    } catch (error) {
      log.error({ err: error }, 'lost runs could not be looked for; trying again');
    }
    await sleep(intervalMilliseconds, undefined, { signal }).catch(() => undefined);
  }
}
