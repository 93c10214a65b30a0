import { poolSandboxSettings, sandboxObjections } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { type UserPrincipal, userToken } from '../identity/index.ts';
import { poolOfRun } from './pool.ts';
import { sandboxSettingsOfPool, setSandboxSettingsOfPool } from './sandbox-settings.ts';

const path = '/api/slipway/orgs/:organization/agent-pools/:poolId/sandbox';
const params = z.object({ organization: z.string().max(100), poolId: z.string().max(100) });
const access = userToken;

/** Sizes, limits and egress that a pool gives its runs, and the most that a stack may ask for. */
export function poolSandboxRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  route(app, controlPlane, { method: 'GET', path, access, params }, async (call) =>
    sandboxSettingsOfPool(db, await poolIdOf(call.principal, call.params)),
  );

  const body = poolSandboxSettings;
  route(app, controlPlane, { method: 'PUT', path, access, params, body }, async (call) => {
    const poolId = await poolIdOf(call.principal, call.params);
    const objections = sandboxObjections(call.body, call.body.defaults);
    if (objections.length > 0)
      throw badRequest(`Bad Request: the defaults exceed the maximum: ${objections.join('; ')}.`);
    await setSandboxSettingsOfPool(db, poolId, call.body);
    return call.body;
  });

  async function poolIdOf(principal: UserPrincipal, { organization, poolId }: z.infer<typeof params>) {
    const pool = principal.organizations.includes(organization)
      ? await poolOfRun(db, organization, poolId)
      : undefined;
    if (!pool) throw notFound(`Not Found: the organization "${organization}" has no agent pool ${poolId}.`);
    return pool.id;
  }
}
