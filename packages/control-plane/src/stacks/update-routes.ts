import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { conflict } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { expectResources } from './checkpoint.ts';
import { isFromHere, keepsJournal } from './journaling.ts';
import { renewLease } from './lease.ts';
import {
  leaseLost,
  openUpdate,
  runningUpdateToken,
  updateParams,
  updatePath,
  updateToken,
} from './open-update.ts';
import { openStack, stackParams, stackPath, stackTags } from './stack.ts';
import type { UpdateKind } from './tables.ts';
import { cancelUpdate, completeUpdate, createUpdate, startUpdate } from './update.ts';

export interface UpdateRouteOptions {
  /** Longest lease of an update; the CLI asks for 300 s. */
  readonly leaseSeconds: number;
  /** From so many resources on, a CLI keeps a journal also where it is near the server. */
  readonly journalFromResourceCount: number;
}

/** One engine operation on a stack, from beginning to end: create, start, renew, complete, cancel. */
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
        access: userOrJobToken,
        params: stackParams,
        body: createBody,
        needsRoom: true,
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

  const startBody = z.looseObject({
    tags: stackTags.nullish(),
    journalVersion: z.number().nullish(),
  });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: updatePath,
      access: userOrJobToken,
      params: updateParams,
      body: startBody,
      // Better not begun than resources made that no state tells of.
      needsRoom: true,
    },
    async ({ principal, params, body, request }) => {
      const update = await openUpdate(controlPlane, principal, params);
      const started = await startUpdate(controlPlane, update, body.tags ?? undefined, options.leaseSeconds);
      if (!started) throw conflict('Conflict: Another update is currently in progress.');
      const { version, token, leaseEndsAt } = started;
      const starter = {
        principal,
        isNear: isFromHere(request),
        resourceCount: await expectResources(db, update.stackId),
      };
      const hasJournal =
        body.journalVersion === 1 &&
        !update.isPreview &&
        keepsJournal(starter, options.journalFromResourceCount);
      return {
        version,
        token,
        tokenExpiration: Math.floor(leaseEndsAt.getTime() / 1000),
        ...(hasJournal && { journalVersion: 1 }),
      };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: updatePath, access: userOrJobToken, params: updateParams },
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
      access: runningUpdateToken,
      params: updateParams,
      body: renewBody,
    },
    async ({ principal: update, bearer, body }) => {
      const leaseEndsAt = await renewLease(db, update.id, Math.min(body.duration, options.leaseSeconds));
      if (!leaseEndsAt) throw leaseLost();
      return { token: bearer, tokenExpiration: Math.floor(leaseEndsAt.getTime() / 1000) };
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
      access: updateToken,
      params: updateParams,
      body: completeBody,
    },
    async ({ principal: update, body }) => {
      // Idempotent: the same call may come twice, and a completed update stays as it is.
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
    { method: 'POST', path: `${updatePath}/cancel`, access: userOrJobToken, params: updateParams },
    async ({ principal, params }) => {
      const update = await openUpdate(controlPlane, principal, params);
      await cancelUpdate(db, update.id, controlPlane.now());
      return {};
    },
  );
}

function statusOf({ state, result }: { state: string; result: string | null }): string {
  if (state === 'finished') return result ?? 'failed';
  return state === 'running' ? 'running' : 'not started';
}
