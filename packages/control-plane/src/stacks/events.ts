import type { SecretPatterns } from '@slipway/core';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { maskEvent } from './mask-event.ts';

/** An engine event (`apitype.EngineEvent`): what is needed to order it and to read its summary; its text is kept. */
export const engineEvent = z.object({
  sequence: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 2),
  summaryEvent: z.object({ resourceChanges: z.record(z.string(), z.number()).nullish() }).optional(),
});
export type EngineEvent = z.infer<typeof engineEvent> & { readonly text: string };

const pageSize = 500;

/**
 * Stores events by their numbers, each once, with `secrets` hidden: what a program prints and what its resources
 * answer reaches the server in events, past the executor that masks the log. Without `secrets` they stay as they are.
 */
export async function storeEvents(
  db: Database,
  updateId: string,
  events: readonly EngineEvent[],
  secrets: SecretPatterns | undefined,
): Promise<void> {
  if (events.length === 0) return;
  await db
    .insertInto('engine_events')
    .values(
      events.map((event) => ({
        update_id: updateId,
        sequence: event.sequence,
        event: secrets ? maskEvent(secrets, event.text) : event.text,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
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
