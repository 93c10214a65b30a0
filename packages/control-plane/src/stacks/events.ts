import type { SecretPatterns } from '@slipway/core';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { contentTooLarge } from '../http/errors.ts';
import { maskEvent } from './mask-event.ts';

/** The numbers of events are kept in 32 bits; the one behind the last event is a continuation token. */
const maximumSequence = 2 ** 31 - 2;

/** All events of an update, at most. */
const maximumEventBytes = 256 * 1024 * 1024;

/** What an event takes besides its text, roughly: events without any fill a database as well. */
const eventOverheadBytes = 64;

/** An engine event (`apitype.EngineEvent`): what is needed to order it and to read its summary; its text is kept. */
export const engineEvent = z.object({
  sequence: z.number().int().min(0).max(maximumSequence),
  summaryEvent: z.object({ resourceChanges: z.record(z.string(), z.number()).nullish() }).optional(),
});
export type EngineEvent = z.infer<typeof engineEvent> & { readonly text: string };

/** From which event on somebody reads: the number of that event. */
export const continuationToken = z.coerce
  .number('a continuation token is a number')
  .int()
  .min(0)
  .max(maximumSequence + 1);

const pageSize = 500;

/**
 * Stores events by their numbers, each once, with `secrets` hidden: what a program prints and what its resources
 * answer reaches the server in events, past the executor that masks the log. Without `secrets` they stay as they are. Throws 413 when the update would have too many.
 */
export async function storeEvents(
  db: Database,
  updateId: string,
  events: readonly EngineEvent[],
  secrets: SecretPatterns | undefined,
): Promise<void> {
  if (events.length === 0) return;
  const texts = events.map(({ text }) => (secrets ? maskEvent(secrets, text) : text));
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + eventOverheadBytes, 0);
  const { rows } = await sql`
    WITH held AS (
      SELECT id FROM updates WHERE id = ${updateId} AND event_bytes + ${bytes} <= ${maximumEventBytes} FOR UPDATE
    ), stored AS (
      INSERT INTO engine_events (update_id, sequence, event)
      SELECT held.id, e.sequence, e.event
      FROM held, unnest(${events.map(({ sequence }) => sequence)}::int[], ${texts}::text[]) AS e (sequence, event)
      ON CONFLICT DO NOTHING
      RETURNING octet_length(event) + ${eventOverheadBytes}::int AS bytes
    )
    UPDATE updates SET event_bytes = event_bytes + (SELECT coalesce(sum(bytes), 0) FROM stored)
    WHERE id IN (SELECT id FROM held) RETURNING id`.execute(db);
  if (rows.length === 0) throw contentTooLarge('the log of the events of an update', maximumEventBytes);
  const changes = events.findLast((event) => event.summaryEvent)?.summaryEvent?.resourceChanges;
  if (changes) {
    await db
      .updateTable('updates')
      .set({ resource_changes: JSON.stringify(changes) })
      .where('id', '=', updateId)
      .execute();
  }
}

/**
 * Events from the number `from` on, as JSON texts. While the update is running only those without a gap before them
 * are answered: batches arrive out of order, and a reader never goes back.
 */
export async function readEvents(
  db: Database,
  updateId: string,
  from: number,
): Promise<{ events: string[]; next: number | null }> {
  // The state first: events that arrive after the look at it must not be taken for the last ones.
  const update = await db
    .selectFrom('updates')
    .select('state')
    .where('id', '=', updateId)
    .executeTakeFirstOrThrow();
  const finished = update.state === 'finished';
  const rows = await db
    .selectFrom('engine_events')
    .select(['sequence', 'event'])
    .where('update_id', '=', updateId)
    .where('sequence', '>=', from)
    .orderBy('sequence')
    .limit(pageSize)
    .execute();
  const gap = finished ? -1 : rows.findIndex(({ sequence }, index) => sequence !== from + index);
  const ready = gap < 0 ? rows : rows.slice(0, gap);
  const last = ready.at(-1)?.sequence;
  const next = last === undefined ? from : last + 1;
  return { events: ready.map(({ event }) => event), next: finished && rows.length < pageSize ? null : next };
}

/** A last word for an update that failed without one. */
export async function appendFailedSummary(db: Database, updateId: string, now: Date): Promise<void> {
  const summary = {
    maybeCorrupt: false,
    durationSeconds: 0,
    resourceChanges: {},
    PolicyPacks: {},
    isPreview: false,
    result: 'failed',
  };
  await sql`
    INSERT INTO engine_events (update_id, sequence, event)
    SELECT u.id, COALESCE(max(e.sequence) + 1, 0), jsonb_build_object(
      'sequence', COALESCE(max(e.sequence) + 1, 0),
      'timestamp', ${Math.floor(now.getTime() / 1000)}::bigint,
      'summaryEvent', ${JSON.stringify(summary)}::jsonb || jsonb_build_object('isPreview', u.is_preview))::text
    FROM updates u LEFT JOIN engine_events e ON e.update_id = u.id
    WHERE u.id = ${updateId}
      AND NOT EXISTS (SELECT 1 FROM engine_events s WHERE s.update_id = u.id AND s.event LIKE '%"summaryEvent":%')
    GROUP BY u.id, u.is_preview ON CONFLICT DO NOTHING`.execute(db);
}
