import {
  harmlessText,
  type LogLine,
  lastLogSequence,
  logLineOverheadBytes,
  maximumLineCharacters,
  type SecretPatterns,
  StreamMasker,
} from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/** A run's log, and how long it may get. */
export interface BoundedLog {
  readonly runId: string;
  /** Of the lines together, with `logLineOverheadBytes` for each: lines without any fill a database as well. */
  readonly maximumBytes: number;
}

/** The lines of Slipway's own come after all that a runner may send, also after those that it sends late. */
const firstOwnSequence = lastLogSequence + 1;

/**
 * Stores lines, each number once, harmless to the terminals that they will be shown on, and with `secrets` hidden: the
 * runner has hidden those of the job, and knows nothing of those that came up since. Lines that the log has no room for are not kept. The caller has locked the run, and made sure
 * that the lines are its runner's.
 */
export async function appendLines(
  db: Database,
  { runId, maximumBytes }: BoundedLog,
  lines: readonly LogLine[],
  secrets: SecretPatterns,
): Promise<void> {
  if (lines.length === 0) return;
  const texts = maskedTexts(lines, secrets).map(harmlessText);
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + logLineOverheadBytes, 0);
  await sql`
    WITH stored AS (
      INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text)
      SELECT ${runId}, line.*
      FROM runs, unnest(
        ${lines.map((line) => line.sequence)}::int[], ${lines.map((line) => line.step)}::int[],
        ${lines.map((line) => line.kind)}::text[], ${lines.map((line) => line.timestamp)}::timestamptz[],
        ${texts}::text[]) AS line
      WHERE runs.id = ${runId} AND runs.log_bytes + ${bytes} <= ${maximumBytes}
      ON CONFLICT (run_id, sequence) DO NOTHING
      RETURNING octet_length(text) + ${logLineOverheadBytes} AS bytes
    )
    UPDATE runs SET log_bytes = log_bytes + (SELECT coalesce(sum(bytes), 0) FROM stored)
    WHERE id = ${runId}`.execute(db);
}

/**
 * The lines' texts with secrets hidden. An executor sends a longer line in pieces: a secret across a cut between two is
 * found as well, and what may be its beginning moves on to the next piece.
 */
function maskedTexts(lines: readonly LogLine[], secrets: SecretPatterns): string[] {
  const masker = new StreamMasker(secrets);
  return lines.map((line, index) => {
    const isCut = line.text.length >= maximumLineCharacters - 1 && lines[index + 1]?.kind === 'line';
    return isCut ? masker.push(line.text) : masker.push(line.text) + masker.end();
  });
}

/** Adds a line of Slipway's own at the end of a run's log, in its last step. */
export async function appendOwnLine(db: Database, runId: string, text: string): Promise<void> {
  await sql`
    INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text)
    SELECT ${runId}, greatest(max(sequence) + 1, ${firstOwnSequence}), coalesce(max(step), 0), 'line', now(), ${harmlessText(text)}
    FROM run_log_lines WHERE run_id = ${runId}`.execute(db);
}
