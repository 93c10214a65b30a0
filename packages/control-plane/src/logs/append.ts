import {
  harmlessText,
  type LogChunk,
  lastLogSequence,
  linesOf,
  logLineOverheadBytes,
  type SecretPatterns,
} from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { badRequest } from '../http/errors.ts';
import type { Seal } from '../secrets/index.ts';
import { countStoredLines } from './blocks.ts';
import { beginningOfChunk } from './chunk.ts';
import { forgetWhatWentOn, heldPieces, type MaskedChunk, maskChunks } from './long-lines.ts';

/** A run's log, and how long it may get. */
export interface BoundedLog {
  readonly runId: string;
  /** Of the lines together, with `logLineOverheadBytes` for each: lines without any fill a database as well. */
  readonly maximumBytes: number;
}

/**
 * In no text (`harmlessText`). Texts go to the database as one: for each by itself `pg` would make its buffer anew, larger
 * and larger.
 */
const endOfText = '\u001e';

/** The lines of Slipway's own come after all that a runner may send, also after those that it sends late. */
const firstOwnSequence = lastLogSequence + 1;

/**
 * Stores lines, each number once, harmless to the terminals that they will be shown on, and with `secrets` hidden: the
 * runner has hidden those of the job, and knows nothing of those that came up since. What a piece of a longer line holds
 * back is kept with `seal`. Of lines that the log has no room for none is kept, nor of those that come later. The caller has
 * locked the run, and made sure that the lines are its runner's. Throws 400.
 */
export async function appendLines(
  db: Database,
  { runId, maximumBytes }: BoundedLog,
  received: readonly LogChunk[],
  secrets: SecretPatterns,
  seal: Seal,
): Promise<void> {
  const chunks = received.toSorted((one, other) => one.sequence - other.sequence);
  const [first] = chunks;
  if (!first) return;
  const stored = await storedAround(db, runId, first.sequence, chunks);
  const held = await heldPieces(db, runId, chunks);
  const { masked, wentOn } = maskChunks(chunks, held, secrets, seal);
  const harmless = masked.map((chunk) => ({ ...chunk, text: harmlessText(chunk.text) }));
  const fresh = withoutStored(harmless, stored);
  if (fresh.length === 0) return;
  const bytes = fresh.reduce((sum, chunk) => sum + bytesOf(chunk), 0);
  const { numAffectedRows } = await sql`
    WITH log AS (
      UPDATE runs SET log_bytes = log_bytes + ${bytes} WHERE id = ${runId}
      RETURNING id, log_bytes <= ${maximumBytes} AS has_room
    ), stored AS (
      INSERT INTO run_log_chunks (run_id, first_sequence, line_count, step, kind, logged_at, long_line, held, text)
      SELECT log.id, chunk.*
      FROM log, unnest(
        ${fresh.map((chunk) => chunk.sequence)}::int[], ${fresh.map((chunk) => chunk.lineCount)}::int[],
        ${fresh.map((chunk) => chunk.step)}::int[], ${fresh.map(({ kind }) => (kind === 'header' ? kind : 'line'))}::text[],
        ${fresh.map((chunk) => chunk.timestamp)}::timestamptz[],
        ${fresh.map(({ piece }) => piece?.line)}::int[], ${fresh.map((chunk) => chunk.held)}::bytea[],
        string_to_array(${fresh.map((chunk) => chunk.text + endOfText).join('')}, ${endOfText}))
        AS chunk (first_sequence, line_count, step, kind, logged_at, long_line, held, text)
      WHERE has_room AND first_sequence IS NOT NULL
      RETURNING run_id, first_sequence, line_count, step, kind
    )
    ${countStoredLines}`.execute(db);
  // Where there was no room for it, nothing has gone on.
  if (numAffectedRows) await forgetWhatWentOn(db, runId, wentOn);
}

/** What a log counts of lines, without what stands between them; of a piece also what it holds back, if only for a while. */
function bytesOf({ lineCount, text, held }: MaskedChunk): number {
  const heldBytes = held?.length ?? 0;
  return Buffer.byteLength(text) - (lineCount - 1) + lineCount * logLineOverheadBytes + heldBytes;
}

/** The number of a chunk's last line. */
function endOf({ sequence, lineCount }: LogChunk): number {
  return sequence + lineCount - 1;
}

interface StoredChunk {
  readonly sequence: number;
  /** The number of its last line. */
  readonly end: number;
}

/**
 * What is stored from the line before `first`, where these begin, up to their last. Throws 400 where that is many more than
 * these: a runner that sends lines again sends the chunks that it sent before, and only a hostile one has cut them smaller.
 */
async function storedAround(
  db: Database,
  runId: string,
  first: number,
  chunks: readonly LogChunk[],
): Promise<StoredChunk[]> {
  const mostChunks = 2 * chunks.length + 2;
  const { rows } = await sql<StoredChunk>`
    SELECT first_sequence AS sequence, first_sequence + line_count - 1 AS "end" FROM run_log_chunks
    WHERE run_id = ${runId}
      AND first_sequence BETWEEN ${beginningOfChunk(runId, first - 1)} AND ${Math.max(...chunks.map(endOf))}
    ORDER BY first_sequence LIMIT ${mostChunks + 1}`.execute(db);
  if (rows.length > mostChunks) {
    throw badRequest('Bad Request: lines between these were sent in more and smaller chunks before.');
  }
  return rows;
}

/** Those of the lines whose numbers are not stored yet, each once. Both come in the order of their numbers. */
function withoutStored(chunks: readonly MaskedChunk[], stored: readonly StoredChunk[]): MaskedChunk[] {
  const fresh: MaskedChunk[] = [];
  let next = 0;
  let at = 0;
  for (const chunk of chunks) {
    const end = endOf(chunk);
    const partOf = partsOf(chunk);
    for (let from = Math.max(next, chunk.sequence); from <= end; from = next) {
      while ((stored[at]?.end ?? Infinity) < from) at += 1;
      const inTheWay = stored[at];
      const before = Math.min(end + 1, Math.max(from, inTheWay?.sequence ?? Infinity));
      if (before > from) fresh.push(partOf(from, before));
      next = before > end || !inTheWay ? before : inTheWay.end + 1;
    }
  }
  return fresh;
}

/** Answers the lines of a chunk with the numbers from `from` to before `end`; its text is split once for all of them. */
function partsOf(chunk: MaskedChunk): (from: number, end: number) => MaskedChunk {
  let lines: readonly string[] | undefined;
  return (from, end) => {
    const lineCount = end - from;
    if (lineCount === chunk.lineCount) return chunk;
    lines ??= linesOf(chunk);
    const text = lines.slice(from - chunk.sequence, end - chunk.sequence).join('\n');
    return { ...chunk, sequence: from, lineCount, text };
  };
}

/** Adds a line of Slipway's own at the end of a run's log, in its last step. */
export async function appendOwnLine(db: Database, runId: string, text: string): Promise<void> {
  await sql`
    WITH stored AS (
      INSERT INTO run_log_chunks (run_id, first_sequence, line_count, step, kind, logged_at, text)
      SELECT ${runId}, greatest(max(first_sequence) + 1, ${firstOwnSequence}), 1, coalesce(max(step), 0), 'line', now(),
        ${harmlessText(text)}
      FROM run_log_chunks WHERE run_id = ${runId}
      RETURNING run_id, first_sequence, line_count, step, kind
    )
    ${countStoredLines}`.execute(db);
}
