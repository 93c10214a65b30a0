import { type LogLine, maximumLineCharacters, type SecretPatterns, StreamMasker } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/** A longer log is cut: the run goes on, its further lines are not kept. */
export const maximumLogBytes = 256 * 1024 * 1024;

/** What a line takes besides its text, roughly: lines without any fill a database as well. */
const lineOverheadBytes = 64;

/** Text as PostgreSQL can keep it: it refuses U+0000, and a program may print anything. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}

/**
 * Stores lines, each number once, with `secrets` hidden: the runner has hidden those of the job, and knows nothing of
 * those that came up since. The caller has made sure that the run is still its runner's.
 */
export async function appendLines(
  db: Database,
  runId: string,
  lines: readonly LogLine[],
  secrets: SecretPatterns,
): Promise<void> {
  if (lines.length === 0) return;
  const texts = maskedTexts(lines, secrets).map(storableText);
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + lineOverheadBytes, 0);
  await sql`
    WITH run AS (
      UPDATE runs SET log_bytes = log_bytes + ${bytes} WHERE id = ${runId} RETURNING log_bytes
    )
    INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text)
    SELECT ${runId}, line.*
    FROM run, unnest(
      ${lines.map((line) => line.sequence)}::int[], ${lines.map((line) => line.step)}::int[],
      ${lines.map((line) => line.kind)}::text[], ${lines.map((line) => line.timestamp)}::timestamptz[],
      ${texts}::text[]) AS line
    WHERE run.log_bytes <= ${maximumLogBytes}
    ON CONFLICT (run_id, sequence) DO NOTHING`.execute(db);
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
    SELECT ${runId}, coalesce(max(sequence), 0) + 1, coalesce(max(step), 0), 'line', now(), ${storableText(text)}
    FROM run_log_lines WHERE run_id = ${runId}`.execute(db);
}
