import {
  countNewlines,
  cutText,
  type HeldText,
  heldText,
  type LogChunk,
  linesOf,
  maskWith,
  maximumLineCharacters,
  type SecretPatterns,
  StreamMasker,
} from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import type { Seal } from '../secrets/index.ts';

/** A chunk as it is stored. */
export interface MaskedChunk extends LogChunk {
  /** Of a piece: its end, where that may be the beginning of a secret; it is in no text. Sealed JSON text (`HeldText`). */
  readonly held: Buffer | null;
}

/** A piece of a longer line that holds text back. */
interface HeldPiece {
  readonly sequence: number;
  readonly step: number;
  readonly line: number;
  readonly held: Buffer;
}

/** By the name of its line: a line has one at most, that with the highest number. */
type HeldPieces = ReadonlyMap<string, HeldPiece>;

/** Those of the lines that `chunks` have pieces of. */
export async function heldPieces(
  db: Database,
  runId: string,
  chunks: readonly LogChunk[],
): Promise<HeldPieces> {
  const pieces = chunks.flatMap(({ step, piece }) => (piece ? { step, line: piece.line } : []));
  if (pieces.length === 0) return new Map();
  const { rows } = await sql<HeldPiece>`
    SELECT first_sequence AS sequence, step, long_line AS line, held FROM run_log_chunks
    WHERE run_id = ${runId} AND held IS NOT NULL AND (step, long_line) IN (
      SELECT * FROM unnest(${pieces.map(({ step }) => step)}::int[], ${pieces.map(({ line }) => line)}::int[]))`.execute(
    db,
  );
  return new Map(rows.map((each) => [nameOf(each.step, each.line), each]));
}

/**
 * Hides secrets in `chunks`, which come in the order of their numbers: in each line by itself, but for those in pieces. A
 * secret across the cut between two pieces is found, whatever lines stand between them: what may be its beginning moves on to
 * the next piece, from `heldBefore` as well. `wentOn` has the numbers of those whose lines have gone on.
 */
export function maskChunks(
  chunks: readonly LogChunk[],
  heldBefore: HeldPieces,
  secrets: SecretPatterns,
  seal: Seal,
): { masked: MaskedChunk[]; wentOn: number[] } {
  const lastPieces = new Map(
    chunks.flatMap(({ step, piece, sequence }) => (piece ? [[nameOf(step, piece.line), sequence]] : [])),
  );
  const maskers = new Map<string, StreamMasker>();
  const masked = chunks.map((chunk) => {
    const { sequence, step, piece, text } = chunk;
    if (!piece) return { ...chunk, text: maskedLines(chunk, secrets), held: null };
    const line = nameOf(step, piece.line);
    const before = heldBefore.get(line);
    // A piece up to that one is stored already, or from a hostile runner: none goes on from it.
    const isLate = before && sequence <= before.sequence;
    const masker = isLate
      ? new StreamMasker(secrets)
      : (maskers.get(line) ?? new StreamMasker(secrets, before && opened(before, seal)));
    if (!isLate) maskers.set(line, masker);
    let shown = masker.push(text);
    if (piece.isLast) shown += masker.end();
    // Only a hostile executor sends one that is not full: for a few bytes the log would hold back many.
    else if (isLate || !isFull(text)) shown += masker.cut();
    const isHeld = lastPieces.get(line) === sequence && masker.held.text !== '';
    return { ...chunk, text: shown, held: isHeld ? sealed(masker.held, seal) : null };
  });
  return { masked, wentOn: [...maskers.keys()].flatMap((line) => heldBefore.get(line)?.sequence ?? []) };
}

/** Removes what was held back of the pieces with these numbers, whose lines have gone on. */
export async function forgetWhatWentOn(
  db: Database,
  runId: string,
  wentOn: readonly number[],
): Promise<void> {
  if (wentOn.length === 0) return;
  await sql`
    UPDATE run_log_chunks SET held = NULL
    WHERE run_id = ${runId} AND first_sequence = ANY(${wentOn}::int[])`.execute(db);
}

/** Removes what was held back of a run's lines and never went on: it may be the beginning of a secret. A mark stays. */
export async function forgetHeldTexts(tx: Database, runId: string): Promise<void> {
  await sql`
    UPDATE run_log_chunks SET held = NULL, text = text || ${cutText}
    WHERE run_id = ${runId} AND held IS NOT NULL`.execute(tx);
}

/** Tells a longer line from all others of its run. */
const nameOf = (step: number, line: number) => `${step}.${line}`;

/** A piece that is not the last one is as long as a line may be, but cuts through no surrogate pair. */
const isFull = (text: string) => text.length >= maximumLineCharacters - 1;

function maskedLines(chunk: LogChunk, secrets: SecretPatterns): string {
  const masked = maskWith(secrets, chunk.text);
  if (chunk.lineCount === 1 || countNewlines(masked) === chunk.lineCount - 1) return masked;
  // A secret of several lines has taken newlines with it: each of its lines is one as well.
  return linesOf(chunk)
    .map((line) => maskWith(secrets, line))
    .join('\n');
}

const sealed = (held: HeldText, seal: Seal): Buffer => seal.seal(Buffer.from(JSON.stringify(held)));
const opened = ({ held }: HeldPiece, seal: Seal): HeldText =>
  heldText.parse(JSON.parse(seal.open(held).toString('utf8')));
