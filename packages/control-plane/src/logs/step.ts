import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

export interface StepPage {
  readonly lines: readonly { readonly timestamp: string; readonly line: string }[];
  /** Absent when the run has finished and all of the step was answered. */
  readonly nextOffset?: number;
}

/** Lines `offset` to `offset + count` of one step of a run, both counted from 0, headers left out. */
export async function readStep(
  db: Database,
  run: { readonly runId: string; readonly isFinished: boolean },
  page: { readonly step: number; readonly offset: number; readonly count: number },
): Promise<StepPage> {
  const { rows } = await sql<{ loggedAt: Date; text: string }>`
    SELECT logged_at AS "loggedAt", text FROM run_log_lines
    WHERE run_id = ${run.runId} AND step = ${page.step} AND kind = 'line'
    ORDER BY sequence OFFSET ${page.offset} LIMIT ${page.count + 1}`.execute(db);
  const lines = rows
    .slice(0, page.count)
    .map(({ loggedAt, text }) => ({ timestamp: loggedAt.toISOString(), line: `${text}\n` }));
  const isAtEnd = run.isFinished && rows.length <= page.count;
  return isAtEnd ? { lines } : { lines, nextOffset: page.offset + lines.length };
}
