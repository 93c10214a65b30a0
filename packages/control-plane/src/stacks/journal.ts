import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { readCheckpoint } from './checkpoint.ts';
import { entryKind, type JournalEntry } from './journal-entry.ts';
import { replayJournal } from './journal-replay.ts';
import { type Lease, mayWrite } from './lease.ts';
import { joinState, type StoredDocument, splitState, withOwnUrl } from './state-document.ts';

/** Entries name this server by one URL, whichever their CLI used: a journal is replayed where nobody reads. */
const journalUrl = 'http://slipway.internal';

/** All entries of an update, at most: a replay holds them in memory several times over. */
export const maximumJournalBytes = 256 * 1024 * 1024;

/** An entry and its text as it was received. */
export interface ReceivedEntry {
  readonly entry: JournalEntry;
  readonly text: string;
}

/**
 * Appends entries to the journal of a running update. An entry that is there already is left as it is, but its bytes
 * count again. The entries are durable when this answers: false when the lease may not write, or the journal would
 * become too large.
 */
export async function appendToJournal(
  db: Database,
  lease: Lease,
  entries: readonly ReceivedEntry[],
  ownUrls: readonly string[],
): Promise<boolean> {
  const sequences = entries.map(({ entry }) => entry.sequenceID);
  const texts = entries.map(({ entry, text }) => withOwnUrl(text, urlPath(entry), ownUrls, journalUrl));
  const addedBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const { rows } = await sql`
    WITH held AS (
      UPDATE updates SET journal_bytes = journal_bytes + ${addedBytes}::bigint
      WHERE ${mayWrite(lease)} AND journal_bytes + ${addedBytes}::bigint <= ${maximumJournalBytes}::bigint
      RETURNING id
    ), appended AS (
      INSERT INTO journal_entries (update_id, sequence, entry)
      SELECT held.id, e.sequence, e.entry FROM held, unnest(${sequences}::bigint[], ${texts}::text[]) AS e (sequence, entry)
      ON CONFLICT DO NOTHING
    )
    SELECT FROM held`.execute(db);
  return rows.length === 1;
}

/** Where an entry names the URL of its secrets provider. */
function urlPath({ kind }: JournalEntry): readonly string[] | undefined {
  if (kind === entryKind.secretsManager) return ['secretsProvider', 'state', 'url'];
  return kind === entryKind.write ? ['newSnapshot', 'secrets_providers', 'state', 'url'] : undefined;
}

/** The journal of an update, with what it changes. */
export interface Journal {
  readonly base: StoredDocument | undefined;
  readonly entries: readonly string[];
  readonly cliVersion: string;
}

/** An update whose journal can be replayed. */
export interface JournaledUpdate {
  readonly id: string;
  readonly stackId: string;
  readonly version: number;
  /** JSON text. */
  readonly environment: string;
}

/** Undefined for an update that has no journal. */
export async function readJournal(db: Database, update: JournaledUpdate): Promise<Journal | undefined> {
  const rows = await db
    .selectFrom('journal_entries')
    .select('entry')
    .where('update_id', '=', update.id)
    .orderBy('sequence')
    .execute();
  if (rows.length === 0) return undefined;
  const base = await readCheckpoint(db, update.stackId, update.version - 1);
  const cliVersion = JSON.parse(update.environment)['pulumi.version'];
  return {
    base,
    entries: rows.map(({ entry }) => entry),
    cliVersion: typeof cliVersion === 'string' ? cliVersion : '',
  };
}

/** The state that an update has reached. Throws for entries that make no state. */
export function replay({ base, entries, cliVersion }: Journal, now: Date): StoredDocument {
  const state = replayJournal(joinState(base, journalUrl), entries, { cliVersion, now });
  return splitState(state, [journalUrl]);
}
