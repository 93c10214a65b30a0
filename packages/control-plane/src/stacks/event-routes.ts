import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { continuationToken, engineEvent, readEvents, storeEvents } from './events.ts';
import { leaseLost, openUpdate, updateParams, updatePath, updateToken } from './open-update.ts';
import { elementsOf } from './raw-json.ts';
import { endExpiredUpdates } from './update.ts';

/** The engine events of an update: written by its CLI, read by those who follow it. */
export function eventRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db, runSecrets } = controlPlane;

  const eventsBody = z.object({ events: z.array(engineEvent).max(1000) });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: `${updatePath}/events/batch`,
      access: updateToken,
      params: updateParams,
      body: eventsBody,
      needsRoom: true,
    },
    async ({ principal: update, body, bodyText }) => {
      const secrets = update.runId ? await runSecrets.patterns(db, update.runId) : undefined;
      // Its sandbox is gone, and so are its secrets: nobody could hide them.
      if (update.runId && !secrets) throw leaseLost();
      const texts = elementsOf(bodyText, ['events']);
      const events = body.events.map((event, index) => ({ ...event, text: texts[index] ?? '' }));
      await storeEvents(db, update.id, events, secrets);
    },
  );

  const eventsQuery = z.object({ continuationToken: continuationToken.default(0) });
  route(
    app,
    controlPlane,
    {
      method: 'GET',
      path: `${updatePath}/events`,
      access: userOrJobToken,
      params: updateParams,
      query: eventsQuery,
    },
    async ({ principal, params, query, reply }) => {
      const update = await openUpdate(controlPlane, principal, params);
      await endExpiredUpdates(db, controlPlane.now(), update.stackId);
      const { events, next } = await readEvents(db, update.id, query.continuationToken);
      reply.type('application/json');
      return `{"events":[${events.join(',')}],"continuationToken":${next === null ? 'null' : `"${next}"`}}`;
    },
  );
}
