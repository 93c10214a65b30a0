import { type RawBuilder, sql } from 'kysely';

/**
 * The log of a run has blocks of so many numbers. The lines of each step are counted by the block in which their chunks begin,
 * so that one far into a step is found without a look at all chunks before it.
 */
export const blockNumbers = 2048;

/** Counts the lines of `stored`, a part of the same statement that answers what it has put into `run_log_chunks`. */
export const countStoredLines: RawBuilder<unknown> = sql`
  INSERT INTO run_log_blocks AS counted (run_id, step, block, line_count)
  SELECT run_id, step, first_sequence / ${sql.lit(blockNumbers)}, sum(line_count) FROM stored WHERE kind = 'line'
  GROUP BY 1, 2, 3
  ON CONFLICT (run_id, step, block) DO UPDATE SET line_count = counted.line_count + excluded.line_count`;

/** Where to begin to look for a line of a step: the last block that begins before it, and how many lines are before that. */
export function blockBefore(runId: string, step: number, offset: number): RawBuilder<unknown> {
  return sql`(
    SELECT block * ${sql.lit(blockNumbers)} AS first_number, lines_before FROM (
      SELECT block, sum(line_count) OVER (ORDER BY block) - line_count AS lines_before
      FROM run_log_blocks WHERE run_id = ${runId} AND step = ${step}
    ) AS blocks
    WHERE lines_before <= ${offset} ORDER BY block DESC LIMIT 1)`;
}
