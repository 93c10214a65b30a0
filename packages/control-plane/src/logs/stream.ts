import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { badRequest } from '../http/errors.ts';
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
  const { rows } = await sql<StoredLine>`
    SELECT sequence, step, kind, logged_at AS "loggedAt", text FROM run_log_lines
    WHERE run_id = ${run.runId} AND sequence > ${position.sequence}
    ORDER BY sequence LIMIT ${maximumLines + 1}`.execute(db);

  const lines: StreamLine[] = [];
  let { step, sequence } = position;
  let characters = 0;
  let complete = run.isFinished && rows.length <= maximumLines;
  for (const row of rows.slice(0, maximumLines)) {
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
