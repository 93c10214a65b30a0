import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { allUrls, type ControlPlane } from '../control-plane.ts';
import { HttpError } from '../http/errors.ts';
import { gzipBody } from '../http/received-body.ts';
import { route } from '../http/route.ts';
import { appendToJournal, maximumJournalBytes } from './journal.ts';
import { journalEntry } from './journal-entry.ts';
import { leaseLost, leaseToken, mustWrite, updateParams, updatePath } from './open-update.ts';
import { elementsOf } from './raw-json.ts';
import { writeState } from './written-state.ts';

/** What a running update writes of its state: whole checkpoints, or entries of a journal. */
export function checkpointRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db, urls } = controlPlane;

  route(
    app,
    controlPlane,
    {
      method: 'PATCH',
      path: `${updatePath}/checkpoint`,
      access: leaseToken,
      params: updateParams,
      readsBody: false,
      needsRoom: true,
    },
    async ({ principal: lease, request }) => {
      if (await writeState(db, lease, await gzipBody(request), allUrls(urls))) return;
      await mustWrite(controlPlane, lease);
      throw leaseLost();
    },
  );

  const journalBody = z.object({ entries: z.array(journalEntry).max(1000) });
  route(
    app,
    controlPlane,
    {
      method: 'PATCH',
      path: `${updatePath}/journalentries`,
      access: leaseToken,
      params: updateParams,
      body: journalBody,
      needsRoom: true,
    },
    async ({ principal: lease, body, bodyText }) => {
      const texts = elementsOf(bodyText, ['entries']);
      const entries = body.entries.map((entry, index) => ({ entry, text: texts[index] ?? '' }));
      if (await appendToJournal(db, lease, entries, allUrls(urls))) return;
      await mustWrite(controlPlane, lease);
      const maximumMiB = maximumJournalBytes / 1024 / 1024;
      throw new HttpError(
        413,
        `Content Too Large: the journal of an update holds at most ${maximumMiB} MiB: split the stack.`,
      );
    },
  );
}
