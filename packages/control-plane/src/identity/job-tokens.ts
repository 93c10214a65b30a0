import type { Database } from '../database/database.ts';
import { hashToken, newToken } from './token.ts';

/** A new token for one run and its stack. Earlier tokens of the run end. */
export async function issueJobToken(db: Database, run: { runId: string; stackId: string }): Promise<string> {
  const token = newToken('slp-job');
  await endJobTokens(db, run.runId);
  await db
    .insertInto('access_tokens')
    .values({
      token_hash: hashToken(token),
      description: 'job token',
      user_id: null,
      run_id: run.runId,
      stack_id: run.stackId,
    })
    .execute();
  return token;
}

/** From now on no token of this run opens anything. */
export async function endJobTokens(db: Database, runId: string): Promise<void> {
  await db.deleteFrom('access_tokens').where('run_id', '=', runId).execute();
}
