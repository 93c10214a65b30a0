import { sql } from 'kysely';
import type { ControlPlaneUrls } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { HttpError } from '../http/errors.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { entryKind, type JournalEntry } from './journal-entry.ts';
import { replayJournal } from './journal-replay.ts';
import { joinState, type StoredDocument, splitState, withOwnUrl } from './state-document.ts';

/** Entries name this server by one URL, whichever their CLI used: a journal is replayed where nobody reads. */
const journalUrl = 'http://slipway.internal';
const journalUrls: ControlPlaneUrls = { publicUrl: journalUrl, others: [] };

/** All entries of an update, at most: a replay holds them in memory several times over. */
export const maximumJournalBytes = 256 * 1024 * 1024;

/** An entry and its text as it was received. */
export interface ReceivedEntry {
  readonly entry: JournalEntry;
  readonly text: string;
}

/**
 * Appends entries to the journal of an update while it is running: false when it is over. An entry that is there already
 * is left as it is. The entries are durable when this answers. Throws 413 when the journal would become too large.
 */
export async function appendToJournal(
  db: Database,
  updateId: string,
  entries: readonly ReceivedEntry[],
  urls: ControlPlaneUrls,
): Promise<boolean> {
  const sequences = entries.map(({ entry }) => entry.sequenceID);
  const texts = entries.map(({ entry, text }) => withOwnUrl(text, urlPath(entry), urls, journalUrl));
  const addedBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const { rows } = await sql<{ fits: boolean }>`
    WITH held AS (
      SELECT id, ${addedBytes}::bigint + (
        SELECT coalesce(sum(octet_length(entry)), 0) FROM journal_entries WHERE update_id = updates.id
      ) <= ${maximumJournalBytes}::bigint AS fits
      FROM updates WHERE id = ${updateId} AND state = 'running' AND lease_ends_at > now() FOR SHARE
    ), appended AS (
      INSERT INTO journal_entries (update_id, sequence, entry)
      SELECT held.id, e.sequence, e.entry
      FROM held, unnest(${sequences}::bigint[], ${texts}::text[]) AS e (sequence, entry)
      WHERE held.fits
      ON CONFLICT DO NOTHING
    )
    SELECT fits FROM held`.execute(db);
  if (rows[0]?.fits === false) {
    const maximumMiB = maximumJournalBytes / 1024 / 1024;
    throw new HttpError(
      413,
      `Content Too Large: the journal of an update holds at most ${maximumMiB} MiB: split the stack.`,
    );
  }
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
  const [journal] = rows;
  if (!journal || journal.entries.length === 0) return undefined;
  return replay(await baseOf(db, journal), journal, now);
}

/**
 * Makes the journal of an update its checkpoint. Part of the transaction that ends the update, which must not fail by
 * what a client wrote: entries that make no state are kept as they are, the stack keeps the state before them, and the
 * answer is false.
 */
export async function closeJournal(tx: Database, updateId: string, now: Date): Promise<boolean> {
  const { rows } = await sql<Journal>`${journalOf} WHERE u.id = ${updateId}`.execute(tx);
  const [journal] = rows;
  if (!journal || journal.entries.length === 0) return true;
  const base = await baseOf(tx, journal);
  let state: StoredDocument;
  try {
    state = replay(base, journal, now);
  } catch {
    return false;
  }
  await writeCheckpoint(tx, journal.stackId, journal.version, state);
  await tx.deleteFrom('journal_entries').where('update_id', '=', updateId).execute();
  return true;
}

/** The state that the entries of a journal change. */
function baseOf(db: Database, { stackId, version }: Journal): Promise<StoredDocument | undefined> {
  return readCheckpoint(db, stackId, version - 1);
}

/** Throws for entries that make no state. */
function replay(base: StoredDocument | undefined, journal: Journal, now: Date): StoredDocument {
  const cliVersion = JSON.parse(journal.environment)['pulumi.version'];
  const replayer = { cliVersion: typeof cliVersion === 'string' ? cliVersion : '', now };
  return splitState(replayJournal(joinState(base, journalUrl), journal.entries, replayer), journalUrls);
}
