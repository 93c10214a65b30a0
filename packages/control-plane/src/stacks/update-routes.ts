import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, conflict, forbidden, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import type { Principal } from '../identity/index.ts';
import { writeCheckpointOfUpdate } from './checkpoint.ts';
import { engineEvent, readEvents, storeEvents } from './events.ts';
import { elementsOf } from './raw-json.ts';
import { openStack, stackParams, stackPath } from './stack.ts';
import { splitState } from './state-document.ts';
import type { UpdateKind } from './tables.ts';
import {
  cancelUpdate,
  completeUpdate,
  createUpdate,
  endExpiredUpdates,
  type LeasedUpdate,
  renewLease,
  startUpdate,
  updateOfLease,
} from './update.ts';
import { historyOf, updateInfo } from './update-info.ts';

export interface UpdateRouteOptions {
  /** What must not appear in the events of this run. */
  secretsOfRun(runId: string): Promise<readonly string[]>;
  /** Longest lease of an update; the CLI asks for 300 s. */
  readonly leaseSeconds: number;
}

const updatePath = `${stackPath}/update/:updateId`;
const updateParams = stackParams.extend({ updateId: z.uuid() });

/** One engine operation on a stack: create, start, renew, checkpoint, events, complete, cancel; and its history. */
export function updateRoutes(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  options: UpdateRouteOptions,
): void {
  const { db } = controlPlane;

  const createBody = z.looseObject({
    config: z.record(z.string(), z.unknown()).nullish(),
    options: z.looseObject({ dryRun: z.boolean().nullish() }).nullish(),
    metadata: z
      .looseObject({ message: z.string().nullish(), environment: z.record(z.string(), z.string()).nullish() })
      .nullish(),
  });
  // The kind stands in this path only; all later calls say `update`, also for a preview.
  for (const kind of ['update', 'preview', 'refresh', 'destroy'] satisfies UpdateKind[]) {
    route(
      app,
      controlPlane,
      {
        method: 'POST',
        path: `${stackPath}/${kind}`,
        access: 'user-or-job',
        params: stackParams,
        body: createBody,
      },
      async ({ principal, params, body }) => {
        const stack = await openStack(controlPlane, principal, params);
        const updateID = await createUpdate(db, principal, {
          stackId: stack.id,
          kind,
          isPreview: kind === 'preview' || body.options?.dryRun === true,
          message: body.metadata?.message ?? '',
          environment: JSON.stringify(body.metadata?.environment ?? {}),
          config: JSON.stringify(body.config ?? {}),
        });
        return { updateID };
      },
    );
  }

  const startBody = z.looseObject({ tags: z.record(z.string(), z.string()).nullish() });
  route(
    app,
    controlPlane,
    { method: 'POST', path: updatePath, access: 'user-or-job', params: updateParams, body: startBody },
    async ({ principal, params, body }) => {
      const update = await openUpdate(controlPlane, principal, params);
      const started = await startUpdate(controlPlane, update, body.tags ?? undefined, options.leaseSeconds);
      if (!started) throw conflict('Conflict: Another update is currently in progress.');
      const { version, token, leaseEndsAt } = started;
      return { version, token, tokenExpiration: Math.floor(leaseEndsAt.getTime() / 1000) };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: updatePath, access: 'user-or-job', params: updateParams },
    async ({ principal, params }) => {
      const update = await openUpdate(controlPlane, principal, params);
      return { status: statusOf(update), events: [] };
    },
  );

  const renewBody = z.looseObject({ duration: z.number().int().min(0).max(300).default(300) });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: `${updatePath}/renew_lease`,
      access: 'update',
      params: updateParams,
      body: renewBody,
    },
    async ({ bearer, params, body }) => {
      await runningUpdate(controlPlane, params.updateId, bearer);
      const leaseEndsAt = await renewLease(
        db,
        params.updateId,
        Math.min(body.duration, options.leaseSeconds),
      );
      if (!leaseEndsAt) throw leaseLost();
      return { token: bearer, tokenExpiration: Math.floor(leaseEndsAt.getTime() / 1000) };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'PATCH', path: `${updatePath}/checkpoint`, access: 'update', params: updateParams },
    async ({ bearer, params, bodyText }) => {
      const update = await runningUpdate(controlPlane, params.updateId, bearer);
      if (update.isPreview) throw forbidden('Forbidden: a preview does not change the state.');
      const state = splitState(bodyText, controlPlane.urls);
      if (!(await writeCheckpointOfUpdate(db, update.id, state))) throw leaseLost();
    },
  );

  const eventsBody = z.object({ events: z.array(engineEvent).max(1000) });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: `${updatePath}/events/batch`,
      access: 'update',
      params: updateParams,
      body: eventsBody,
    },
    async ({ bearer, params, body, bodyText }) => {
      const update = await leasedUpdate(controlPlane, params.updateId, bearer);
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
      access: 'user-or-job',
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

  const completeBody = z.object({
    status: z.enum(['succeeded', 'failed', 'running', 'not started', 'requested']),
  });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: `${updatePath}/complete`,
      access: 'update',
      params: updateParams,
      body: completeBody,
    },
    async ({ bearer, params, body }) => {
      // Idempotent: the same call may come twice, and a completed update stays as it is.
      const update = await leasedUpdate(controlPlane, params.updateId, bearer);
      await completeUpdate(
        db,
        update.id,
        body.status === 'succeeded' ? 'succeeded' : 'failed',
        controlPlane.now(),
      );
      return {};
    },
  );

  route(
    app,
    controlPlane,
    { method: 'POST', path: `${updatePath}/cancel`, access: 'user-or-job', params: updateParams },
    async ({ principal, params }) => {
      const update = await openUpdate(controlPlane, principal, params);
      await cancelUpdate(db, update.id, controlPlane.now());
      return {};
    },
  );

  const historyQuery = z.object({
    page: z.coerce.number().int().min(0).default(0),
    pageSize: z.coerce.number().int().min(0).default(0),
  });
  const everything = 100_000;
  const history = async (
    stackId: string,
    previews: boolean,
    { page, pageSize }: z.infer<typeof historyQuery>,
  ) => {
    const limit = pageSize || everything;
    return historyOf(db, stackId, { previews, limit, offset: Math.max(page - 1, 0) * limit });
  };
  route(
    app,
    controlPlane,
    {
      method: 'GET',
      path: `${stackPath}/updates`,
      access: 'user-or-job',
      params: stackParams,
      query: historyQuery,
    },
    async ({ principal, params, query }) => {
      const stack = await openStack(controlPlane, principal, params);
      return { updates: (await history(stack.id, false, query)).map(updateInfo) };
    },
  );
  route(
    app,
    controlPlane,
    { method: 'GET', path: `${stackPath}/updates/latest`, access: 'user-or-job', params: stackParams },
    async ({ principal, params }) => {
      const stack = await openStack(controlPlane, principal, params);
      const [latest] = await history(stack.id, false, { page: 1, pageSize: 1 });
      if (!latest) throw notFound('Not Found: this stack has no updates yet.');
      return {
        info: updateInfo(latest),
        updateID: latest.id,
        version: latest.version,
        latestVersion: stack.version,
      };
    },
  );
  route(
    app,
    controlPlane,
    {
      method: 'GET',
      path: `${stackPath}/updates/latest/previews`,
      access: 'user-or-job',
      params: stackParams,
      query: historyQuery,
    },
    async ({ principal, params, query }) => {
      const stack = await openStack(controlPlane, principal, params);
      const previews = await history(stack.id, true, query);
      return { updates: previews.map((update) => ({ updateID: update.id, info: updateInfo(update) })) };
    },
  );
}

type UpdateParams = z.infer<typeof updateParams>;

/** The update of a stack that the caller may open. Throws 404. */
async function openUpdate(controlPlane: ControlPlane, principal: Principal, params: UpdateParams) {
  const stack = await openStack(controlPlane, principal, params);
  const update = await controlPlane.db
    .selectFrom('updates')
    .select(['id', 'is_preview as isPreview', 'state', 'result', 'stack_id as stackId'])
    .where('id', '=', params.updateId)
    .where('stack_id', '=', stack.id)
    .executeTakeFirst();
  if (!update) throw notFound(`Not Found: Update '${params.updateId}'`);
  return update;
}

/** The update whose lease the caller holds, running or over. Throws 403: the CLI then stops at once. */
async function leasedUpdate(
  controlPlane: ControlPlane,
  updateId: string,
  token: string,
): Promise<LeasedUpdate> {
  const update = await updateOfLease(controlPlane.db, updateId, token);
  if (!update) throw leaseLost();
  return update;
}

async function runningUpdate(
  controlPlane: ControlPlane,
  updateId: string,
  token: string,
): Promise<LeasedUpdate> {
  const update = await leasedUpdate(controlPlane, updateId, token);
  if (!update.running) throw leaseLost();
  return update;
}

function leaseLost() {
  return forbidden('Forbidden: this update is over; it was cancelled, or its lease ended.');
}

function statusOf({ state, result }: { state: string; result: string | null }): string {
  if (state === 'finished') return result ?? 'failed';
  return state === 'running' ? 'running' : 'not started';
}
