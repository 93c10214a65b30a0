import { linesOf } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { badRequest } from '../http/errors.ts';
import { beginningOfChunk } from './chunk.ts';
import { type HeaderRule, shownHeader } from './header.ts';

/** Most lines and, roughly, most characters of one answer. */
const maximumLines = 500;
const maximumCharacters = 1024 * 1024;

/** Timestamp of a header line: Go's zero time, as the documents show it. */
const zeroTime = '0001-01-01T00:00:00Z';

export type StreamLine =
  | { readonly header: string; readonly timestamp: string }
  | { readonly line: string; readonly timestamp: string };

export interface LogPage {
  readonly lines: readonly StreamLine[];
  /** Absent when the run has finished and all was answered. */
  readonly nextToken?: string;
}

interface StoredLine {
  readonly sequence: number;
  readonly step: number;
  readonly kind: 'header' | 'line';
  readonly loggedAt: Date;
  readonly text: string;
}

/** What of the run decides how its log is read. */
export interface StreamedRun extends HeaderRule {
  readonly runId: string;
}

/**
 * The next piece of a run's log. The token that was sent is answered again when there is nothing new: the CLI waits
 * before its next call then, and would otherwise ask again at once.
 */
export async function readLog(db: Database, run: StreamedRun, token: string | undefined): Promise<LogPage> {
  const position = parseToken(token);
  const { stored, areAll } = await linesAfter(db, run.runId, position.sequence);

  const lines: StreamLine[] = [];
  let { step, sequence } = position;
  let characters = 0;
  let complete = run.isFinished && areAll && stored.length <= maximumLines;
  for (const row of stored.slice(0, maximumLines)) {
    const isMissingLine = !run.isFinished && row.sequence !== sequence + 1;
    const header = row.kind === 'header' ? shownHeader(run, row.text) : undefined;
    if (isMissingLine || header === 'held-back' || characters > maximumCharacters) {
      complete = false;
      break;
    }
    lines.push(
      header
        ? { header: header.text, timestamp: zeroTime }
        : { timestamp: row.loggedAt.toISOString(), line: `${row.text}\n` },
    );
    characters += row.text.length;
    ({ step, sequence } = row);
  }
  return complete ? { lines } : { lines, nextToken: `0.${step}.${sequence}` };
}

interface StoredChunk extends Omit<StoredLine, 'sequence'> {
  readonly firstSequence: number;
  readonly lineCount: number;
  /** How many chunks follow the line, up to as many as a page can need. */
  readonly chunkCount: number;
}

/** Lines behind one, as many as fill a page and one more, and whether these are all. */
async function linesAfter(
  db: Database,
  runId: string,
  sequence: number,
): Promise<{ stored: StoredLine[]; areAll: boolean }> {
  // Chunks that a page has no room for are counted, but their texts are not read.
  const { rows } = await sql<StoredChunk>`
    SELECT first_sequence AS "firstSequence", line_count AS "lineCount", chunk_count AS "chunkCount",
      step, kind, logged_at AS "loggedAt", text
    FROM (
      SELECT *, count(*) OVER () AS chunk_count, sum(octet_length(text)) OVER earlier AS bytes_before,
        sum(line_count - greatest(0, ${sequence} + 1 - first_sequence)) OVER earlier AS lines_before
      FROM (
        SELECT * FROM run_log_chunks
        WHERE run_id = ${runId} AND first_sequence >= ${beginningOfChunk(runId, sequence + 1)}
          AND first_sequence + line_count > ${sequence} + 1
        ORDER BY first_sequence LIMIT ${maximumLines + 1}
      ) AS chunks
      WINDOW earlier AS (ORDER BY first_sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS counted
    WHERE coalesce(lines_before, 0) <= ${maximumLines} AND coalesce(bytes_before, 0) <= ${maximumCharacters}
    ORDER BY first_sequence`.execute(db);
  const stored = rows.flatMap(({ firstSequence, lineCount, text, ...chunk }) =>
    linesOf({ lineCount, text })
      .map((line, index) => ({ ...chunk, sequence: firstSequence + index, text: line }))
      .filter((line) => line.sequence > sequence),
  );
  return { stored, areAll: rows.length === (rows[0]?.chunkCount ?? 0) };
}

/** A token is `job.step.offset`: the job is always 0, the offset counts the lines of the whole run. */
function parseToken(token: string | undefined): { step: number; sequence: number } {
  if (!token) return { step: 0, sequence: 0 };
  const match = /^0\.(\d{1,4})\.(\d{1,9})$/.exec(token);
  if (!match) {
    throw badRequest(
      `Bad Request: "${token}" is no continuation token: use the nextToken of the answer before.`,
    );
  }
  return { step: Number(match[1]), sequence: Number(match[2]) };
}
