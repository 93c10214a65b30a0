import { type RawBuilder, sql } from 'kysely';

/** The number with which the chunk begins that a line is in; where there is none, the last chunk before. */
export function beginningOfChunk(runId: string, sequence: number): RawBuilder<number> {
  return sql`coalesce((
    SELECT max(first_sequence) FROM run_log_chunks
    WHERE run_id = ${runId} AND first_sequence <= ${sequence}), 0)`;
}
