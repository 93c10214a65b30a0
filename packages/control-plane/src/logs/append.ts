import {
  type HeldText,
  harmlessText,
  heldText,
  type LogLine,
  lastLogSequence,
  logLineOverheadBytes,
  mayGoOn,
  type SecretPatterns,
  StreamMasker,
} from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import type { Seal } from '../secrets/index.ts';

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
 * runner has hidden those of the job, and knows nothing of those that came up since. What may be the beginning of one, at
 * the end of a piece whose next one comes with another call, is kept with `seal` until then. Lines that the log has no room
 * for are not kept. The caller has locked the run, and made sure that the lines are its runner's.
 */
export async function appendLines(
  db: Database,
  { runId, maximumBytes }: BoundedLog,
  lines: readonly LogLine[],
  secrets: SecretPatterns,
  seal: Seal,
): Promise<void> {
  const [first] = lines;
  if (!first) return;
  const masker = new StreamMasker(secrets, await heldBefore(db, runId, first, seal));
  const texts = maskedTexts(lines, masker).map(harmlessText);
  const held = masker.held.text === '' ? null : seal.seal(Buffer.from(JSON.stringify(masker.held)));
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + logLineOverheadBytes, 0);
  await sql`
    WITH stored AS (
      INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text, held)
      SELECT ${runId}, line.*, CASE WHEN line.sequence = ${lines.at(-1)?.sequence} THEN ${held}::bytea END
      FROM runs, unnest(
        ${lines.map((line) => line.sequence)}::int[], ${lines.map((line) => line.step)}::int[],
        ${lines.map((line) => line.kind)}::text[], ${lines.map((line) => line.timestamp)}::timestamptz[],
        ${texts}::text[]) AS line (sequence, step, kind, logged_at, text)
      WHERE runs.id = ${runId} AND runs.log_bytes + ${bytes} <= ${maximumBytes}
      ON CONFLICT (run_id, sequence) DO NOTHING
      RETURNING octet_length(text) + ${logLineOverheadBytes} AS bytes
    )
    UPDATE runs SET log_bytes = log_bytes + (SELECT coalesce(sum(bytes), 0) FROM stored)
    WHERE id = ${runId}`.execute(db);
}

/**
 * The lines' texts with secrets hidden. An executor sends a longer line in pieces: a secret across a cut between two is
 * found as well, and what may be its beginning moves on to the next piece. That of the last line stays with the masker.
 */
function maskedTexts(lines: readonly LogLine[], masker: StreamMasker): string[] {
  return lines.map(({ kind, text }, index) => {
    const isCut = kind === 'line' && mayGoOn(text) && lines[index + 1]?.kind !== 'header';
    return isCut ? masker.push(text) : masker.push(text) + masker.end();
  });
}

/** What the call before has held back of the line before `line`, when that may go on with it. */
async function heldBefore(
  db: Database,
  runId: string,
  { sequence, kind }: LogLine,
  seal: Seal,
): Promise<HeldText | undefined> {
  if (kind === 'header') return undefined;
  const before = await db
    .selectFrom('run_log_lines')
    .select('held')
    .where('run_id', '=', runId)
    .where('sequence', '=', sequence - 1)
    .executeTakeFirst();
  return before?.held ? heldText.parse(JSON.parse(seal.open(before.held).toString('utf8'))) : undefined;
}

/** Removes what was held back of a run's lines and never went on: it may be the beginning of a secret. */
export async function forgetHeldTexts(tx: Database, runId: string): Promise<void> {
  await sql`UPDATE run_log_lines SET held = NULL WHERE run_id = ${runId} AND held IS NOT NULL`.execute(tx);
}

/** Adds a line of Slipway's own at the end of a run's log, in its last step. */
export async function appendOwnLine(db: Database, runId: string, text: string): Promise<void> {
  await sql`
    INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text)
    SELECT ${runId}, greatest(max(sequence) + 1, ${firstOwnSequence}), coalesce(max(step), 0), 'line', now(), ${harmlessText(text)}
    FROM run_log_lines WHERE run_id = ${runId}`.execute(db);
}
