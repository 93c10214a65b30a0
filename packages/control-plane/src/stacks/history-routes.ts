import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { openStack, stackParams, stackPath } from './stack.ts';
import { historyOf, updateInfo } from './update-info.ts';

/** So many updates are answered at most: all that a stack has. */
const everything = 100_000;

/** The updates that a stack has had, newest first, a page at a time. Pages count from 1. */
export function historyRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  const historyQuery = z.object({
    page: z.coerce.number().int().min(0).max(everything).default(0),
    pageSize: z.coerce.number().int().min(0).max(everything).default(0),
  });
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
      access: userOrJobToken,
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
    { method: 'GET', path: `${stackPath}/updates/latest`, access: userOrJobToken, params: stackParams },
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
      access: userOrJobToken,
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
