import { type Cause, explainCause, type RunOutcome } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { endJobTokens } from '../identity/index.ts';
import { appendOwnLine, storableText } from '../logs/index.ts';
import { forgetRunSecrets } from '../secrets/index.ts';
import { endUpdatesOfRun } from '../stacks/index.ts';
import { wakeClaims } from './wake-up.ts';

const tooManySecrets =
  'The run used more secrets of its configuration and state than Slipway hides in its log: of the further ones only those are hidden that the Pulumi CLI itself recognises.';

export interface Ending {
  readonly outcome: RunOutcome;
  readonly cause?: Cause | undefined;
  /** Particulars of the cause. */
  readonly message?: string | undefined;
  readonly phaseMilliseconds?: Record<string, number> | undefined;
  /**
   * Whether the lease token is still to be known, so that the runner may repeat its `finish`. Otherwise the runner is
   * fenced: each of its calls is refused from now on.
   */
  readonly leaseTokenStays: boolean;
}

/**
 * Ends a run: its job token opens nothing any more, its updates are ended, its secrets forgotten, its log says why, its
 * lane is free. All of it in the transaction `tx`, whose caller holds the lock on the run.
 */
export async function endRun(tx: Database, runId: string, ending: Ending, now: Date): Promise<void> {
  const message = ending.message === undefined ? null : storableText(ending.message);
  await sql`
    UPDATE runs SET
      state = 'finished', outcome = ${ending.outcome}, cause = ${ending.cause ?? null}, message = ${message},
      phase_milliseconds = ${ending.phaseMilliseconds ? JSON.stringify(ending.phaseMilliseconds) : null},
      finished_at = now(), modified_at = now(),
      lease_token_hash = CASE WHEN ${ending.leaseTokenStays} THEN lease_token_hash END
    WHERE id = ${runId}`.execute(tx);
  await endJobTokens(tx, runId);
  await endUpdatesOfRun(tx, runId, now);
  const { wereCut } = await forgetRunSecrets(tx, runId);
  if (wereCut) await appendOwnLine(tx, runId, tooManySecrets);
  if (ending.cause) await appendOwnLine(tx, runId, explainCause(ending.cause, message ?? undefined));
  await wakeClaims(tx);
}
