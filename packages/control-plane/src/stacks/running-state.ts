import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { type JournaledUpdate, readJournal, replay } from './journal.ts';
import type { StoredDocument } from './state-document.ts';
import { readWrittenState, takeApart } from './written-state.ts';

/**
 * The state that a running update of the stack has reached; undefined when it has written none, and when what it wrote
 * makes none: the stack then has the state before it.
 */
export async function readRunningState(
  db: Database,
  stackId: string,
  version: number,
  now: Date,
): Promise<StoredDocument | undefined> {
  const { rows } = await sql<JournaledUpdate>`
    ${updates} WHERE stack_id = ${stackId} AND state = 'running' AND NOT is_preview
      AND version <= ${version}`.execute(db);
  const [update] = rows;
  const makeState = update && (await readWriting(db, update, now));
  return makeState?.().catch(() => undefined);
}

/**
 * Makes what an update wrote its checkpoint. Part of the transaction that ends the update, which must not fail by what
 * a client wrote: what makes no state is kept as it is, the stack keeps the state before it, and the answer is false.
 */
export async function closeState(tx: Database, updateId: string, now: Date): Promise<boolean> {
  const { rows } = await sql<JournaledUpdate>`${updates} WHERE id = ${updateId}`.execute(tx);
  const [update] = rows;
  const makeState = update && (await readWriting(tx, update, now));
  if (!makeState) return true;
  const state = await makeState().catch(() => undefined);
  if (!state) return false;
  await writeCheckpoint(tx, update.stackId, update.version, state);
  await sql`
    WITH written AS (DELETE FROM written_states WHERE update_id = ${updateId})
    DELETE FROM journal_entries WHERE update_id = ${updateId}`.execute(tx);
  return true;
}

const updates = sql`SELECT id, stack_id AS "stackId", version, environment FROM updates`;

/** What an update has written, whole states or a journal, as a function that makes the state of it, or throws. */
async function readWriting(
  db: Database,
  update: JournaledUpdate,
  now: Date,
): Promise<(() => Promise<StoredDocument>) | undefined> {
  const written = await readWrittenState(db, update.id);
  if (written) return () => takeApart(written);
  const journal = await readJournal(db, update);
  return journal && (async () => replay(journal, now));
}
