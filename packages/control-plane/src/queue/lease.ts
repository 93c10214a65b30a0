import type { RunCallResponse } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import type { Access } from '../http/access.ts';
import { conflict } from '../http/errors.ts';
import { hashToken } from '../identity/index.ts';
import { type RunRecord, runColumns } from './run.ts';

/** What a runner reads when it holds a run no longer. It then destroys the sandbox and forgets the run. */
const fenced = () =>
  conflict('Conflict: this lease is over: the run was taken from this runner, or has ended.');

/**
 * The token of a claim, which every later call about the run carries. Answers the id of the run that it holds, or held
 * to its end; each call then decides for itself, with the run locked. Throws 409 when it holds none.
 */
export const leaseToken: Access<string> = {
  scheme: 'lease',
  principalOf: async ({ db }, token) => {
    const run = await db
      .selectFrom('runs')
      .select('id')
      .where('lease_token_hash', '=', hashToken(token))
      .executeTakeFirst();
    if (!run) throw fenced();
    return run.id;
  },
};

/**
 * The run that a lease token holds, with its lease renewed: every call of the runner is a sign of life. Throws 409 when
 * the token holds no run (any more).
 */
export async function renewLease(db: Database, token: string): Promise<RunRecord> {
  const { rows } = await sql<RunRecord>`
    UPDATE runs SET lease_ends_at = now() + make_interval(secs => lease_seconds)
    WHERE lease_token_hash = ${hashToken(token)} AND state IN ('claimed', 'running')
    RETURNING ${runColumns}`.execute(db);
  const [run] = rows;
  if (!run) throw fenced();
  return run;
}

/** The run that a lease token holds or held to its end; it stays locked until the transaction ends. Throws 409. */
export async function lockLeasedRun(tx: Database, token: string): Promise<RunRecord> {
  const { rows } = await sql<RunRecord>`
    SELECT ${runColumns} FROM runs WHERE lease_token_hash = ${hashToken(token)} FOR UPDATE`.execute(tx);
  const [run] = rows;
  if (!run) throw fenced();
  return run;
}

/** The answer to a call about a run: what is asked of the runner. */
export function answerTo({ cancelRequestedAt }: RunRecord): RunCallResponse {
  return cancelRequestedAt ? { command: 'cancel' } : {};
}
