import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { engineEvent, readEvents, storeEvents } from './events.ts';
import { openUpdate, updateParams, updatePath, updateToken } from './open-update.ts';
import { elementsOf } from './raw-json.ts';
import { endExpiredUpdates } from './update.ts';

export interface EventRouteOptions {
  /** What must not appear in the events of this run. */
  secretsOfRun(runId: string): Promise<readonly string[]>;
}

/** The engine events of an update: written by its CLI, read by those who follow it. */
export function eventRoutes(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  options: EventRouteOptions,
): void {
  const { db } = controlPlane;

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
    },
    async ({ principal: update, body, bodyText }) => {
      const secrets = update.runId ? await options.secretsOfRun(update.runId) : [];
      const texts = elementsOf(bodyText, ['events']);
      const events = body.events.map((event, index) => ({ ...event, text: texts[index] ?? '' }));
      await storeEvents(db, update.id, events, secrets);
    },
  );

  const eventsQuery = z.object({ continuationToken: z.string().optional() });
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
      const from = Number(query.continuationToken ?? 0);
      if (!Number.isSafeInteger(from) || from < 0)
        throw badRequest('Bad Request: this is no continuation token.');
      await endExpiredUpdates(db, controlPlane.now(), update.stackId);
      const { events, next } = await readEvents(db, update.id, from);
      reply.type('application/json');
      return `{"events":[${events.join(',')}],"continuationToken":${next === null ? 'null' : `"${next}"`}}`;
    },
  );
}
