import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { forbidden } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { writeCheckpointOfUpdate } from './checkpoint.ts';
import { appendToJournal } from './journal.ts';
import { journalEntry } from './journal-entry.ts';
import { leaseLost, runningUpdateToken, updateParams, updatePath } from './open-update.ts';
import { elementsOf } from './raw-json.ts';
import { splitState } from './state-document.ts';

/** What a running update writes of its state: whole checkpoints, or entries of a journal. */
export function checkpointRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  route(
    app,
    controlPlane,
    { method: 'PATCH', path: `${updatePath}/checkpoint`, access: runningUpdateToken, params: updateParams },
    async ({ principal: update, bodyText }) => {
      if (update.isPreview) throw forbidden('Forbidden: a preview does not change the state.');
      const state = splitState(bodyText, controlPlane.urls);
      if (!(await writeCheckpointOfUpdate(db, update.id, state))) throw leaseLost();
    },
  );

  const journalBody = z.object({ entries: z.array(journalEntry).max(1000) });
  route(
    app,
    controlPlane,
    {
      method: 'PATCH',
      path: `${updatePath}/journalentries`,
      access: runningUpdateToken,
      params: updateParams,
      body: journalBody,
    },
    async ({ principal: update, body, bodyText }) => {
      if (update.isPreview) throw forbidden('Forbidden: a preview does not change the state.');
      const texts = elementsOf(bodyText, ['entries']);
      const entries = body.entries.map((entry, index) => ({ entry, text: texts[index] ?? '' }));
      if (!(await appendToJournal(db, update.id, entries, controlPlane.urls))) throw leaseLost();
    },
  );
}
