import { type Cause, explainCause, harmlessText, type RunOutcome } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { endJobTokens } from '../identity/index.ts';
import { appendOwnLine } from '../logs/index.ts';
import { someRunSecretsWereCut } from '../secrets/index.ts';
import { endUpdatesOfRun } from '../stacks/index.ts';
import { forgetSecretsOf } from './forget-secrets.ts';
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
   * Who ends it. `runner`: it may repeat that. `recovery`: the runner was lost and is fenced, each of its calls is refused
   * from now on; only what it had read of the log may still come. `queue`: no runner had begun it.
   */
  readonly endedBy: 'runner' | 'recovery' | 'queue';
}

/**
 * Ends a run: its job token opens nothing any more, its updates are ended, its secrets forgotten, its log says why, its
 * lane is free. All of it in the transaction `tx`, whose caller holds the lock on the run.
 */
export async function endRun(tx: Database, runId: string, ending: Ending, now: Date): Promise<void> {
  const message = ending.message === undefined ? null : harmlessText(ending.message);
  const mayHaveLateLog = ending.endedBy === 'recovery';
  await sql`
    UPDATE runs SET
      state = 'finished', outcome = ${ending.outcome}, cause = ${ending.cause ?? null}, message = ${message},
      phase_milliseconds = ${ending.phaseMilliseconds ? JSON.stringify(ending.phaseMilliseconds) : null},
      finished_at = now(), modified_at = now(),
      lease_token_hash = CASE WHEN ${ending.endedBy === 'runner'} THEN lease_token_hash END,
      delivery_token_hash = CASE WHEN ${mayHaveLateLog} THEN delivery_token_hash END
    WHERE id = ${runId}`.execute(tx);
  await endJobTokens(tx, runId);
  await endUpdatesOfRun(tx, runId, now);
  if (await someRunSecretsWereCut(tx, runId)) await appendOwnLine(tx, runId, tooManySecrets);
  // Late lines may hold them.
  if (!mayHaveLateLog) await forgetSecretsOf(tx, runId);
  if (ending.cause) await appendOwnLine(tx, runId, explainCause(ending.cause, message ?? undefined));
  await wakeClaims(tx);
}
