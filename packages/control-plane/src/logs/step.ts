import { linesOf } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { blockBefore, blockNumbers } from './blocks.ts';

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
  const end = page.offset + page.count;
  // A block has no more chunks than numbers, and a page no more than lines.
  const mostChunks = blockNumbers + page.count + 1;
  const { rows } = await sql<StepChunk>`
    SELECT logged_at AS "loggedAt", line_count AS "lineCount", text, lines_before AS "linesBefore"
    FROM (
      SELECT chunk.*, block.lines_before + sum(line_count) OVER (ORDER BY first_sequence) - line_count AS lines_before
      FROM ${blockBefore(run.runId, page.step, page.offset)} AS block, LATERAL (
        SELECT first_sequence, line_count, logged_at, text FROM run_log_chunks
        WHERE run_id = ${run.runId} AND step = ${page.step} AND kind = 'line' AND first_sequence >= block.first_number
        ORDER BY first_sequence LIMIT ${mostChunks}
      ) AS chunk
    ) AS chunks
    WHERE lines_before + line_count > ${page.offset} AND lines_before <= ${end} ORDER BY first_sequence`.execute(
    db,
  );
  const found = rows.flatMap((chunk) =>
    linesOf(chunk)
      .map((text, index) => ({ loggedAt: chunk.loggedAt, text, number: chunk.linesBefore + index }))
      .filter(({ number }) => number >= page.offset),
  );
  const lines = found
    .slice(0, page.count)
    .map(({ loggedAt, text }) => ({ timestamp: loggedAt.toISOString(), line: `${text}\n` }));
  const isAtEnd = run.isFinished && found.length <= page.count;
  return isAtEnd ? { lines } : { lines, nextOffset: page.offset + lines.length };
}

interface StepChunk {
  readonly loggedAt: Date;
  readonly lineCount: number;
  readonly text: string;
  /** Lines of the step before it. */
  readonly linesBefore: number;
}
