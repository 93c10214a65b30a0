import { sql } from 'kysely';
import type { ControlPlaneUrls } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { entryKind, type JournalEntry } from './journal-entry.ts';
import { replayJournal } from './journal-replay.ts';
import { joinState, type StoredDocument, splitState, withOwnUrl } from './state-document.ts';

/** Entries name this server by one URL, whichever their CLI used: a journal is replayed where nobody reads. */
const journalUrl = 'http://slipway.internal';
const journalUrls: ControlPlaneUrls = { publicUrl: journalUrl, others: [] };

/** An entry and its text as it was received. */
export interface ReceivedEntry {
  readonly entry: JournalEntry;
  readonly text: string;
}

/**
 * Appends entries to the journal of an update while it is running: false when it is over. An entry that is there already
 * is left as it is. The entries are durable when this answers.
 */
export async function appendToJournal(
  db: Database,
  updateId: string,
  entries: readonly ReceivedEntry[],
  urls: ControlPlaneUrls,
): Promise<boolean> {
  const sequences = entries.map(({ entry }) => entry.sequenceID);
  const texts = entries.map(({ entry, text }) => withOwnUrl(text, urlPath(entry), urls, journalUrl));
  const { rows } = await sql`
    WITH held AS (
      SELECT id FROM updates WHERE id = ${updateId} AND state = 'running' AND lease_ends_at > now() FOR SHARE
    ), appended AS (
      INSERT INTO journal_entries (update_id, sequence, entry)
      SELECT held.id, e.sequence, e.entry
      FROM held, unnest(${sequences}::bigint[], ${texts}::text[]) AS e (sequence, entry)
      ON CONFLICT DO NOTHING
    )
    SELECT id FROM held`.execute(db);
  return rows.length === 1;
}

/** Where an entry names the URL of its secrets provider. */
function urlPath({ kind }: JournalEntry): readonly string[] | undefined {
  if (kind === entryKind.secretsManager) return ['secretsProvider', 'state', 'url'];
  return kind === entryKind.write ? ['newSnapshot', 'secrets_providers', 'state', 'url'] : undefined;
}

interface Journal {
  readonly stackId: string;
  readonly version: number;
  readonly environment: string;
  readonly entries: readonly string[];
}

const journalOf = sql`
  SELECT u.stack_id AS "stackId", u.version, u.environment,
    ARRAY(SELECT entry FROM journal_entries WHERE update_id = u.id ORDER BY sequence) AS entries
  FROM updates u`;

/** The state that a running update of the stack has reached by its journal; undefined when there is no journal. */
export async function readJournaledState(
  db: Database,
  stackId: string,
  version: number,
  now: Date,
): Promise<StoredDocument | undefined> {
  const { rows } = await sql<Journal>`
    ${journalOf} WHERE u.stack_id = ${stackId} AND u.state = 'running' AND NOT u.is_preview
      AND u.version <= ${version}`.execute(db);
  return rows[0] && replay(db, rows[0], now);
}

/** Makes the journal of an update its checkpoint. Part of the transaction that ends the update. */
export async function closeJournal(tx: Database, updateId: string, now: Date): Promise<void> {
  const { rows } = await sql<Journal>`${journalOf} WHERE u.id = ${updateId}`.execute(tx);
  const state = rows[0] && (await replay(tx, rows[0], now));
  if (!rows[0] || !state) return;
  await writeCheckpoint(tx, rows[0].stackId, rows[0].version, state);
  await tx.deleteFrom('journal_entries').where('update_id', '=', updateId).execute();
}

async function replay(db: Database, journal: Journal, now: Date): Promise<StoredDocument | undefined> {
  if (journal.entries.length === 0) return undefined;
  const base = await readCheckpoint(db, journal.stackId, journal.version - 1);
  const cliVersion = JSON.parse(journal.environment)['pulumi.version'];
  const replayer = { cliVersion: typeof cliVersion === 'string' ? cliVersion : '', now };
  return splitState(replayJournal(joinState(base, journalUrl), journal.entries, replayer), journalUrls);
}
