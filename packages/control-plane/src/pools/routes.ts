import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, conflict, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { type UserPrincipal, userToken } from '../identity/index.ts';
import {
  createPool,
  listPools,
  type PoolDetails,
  removePool,
  renamePool,
  runnersOfPool,
} from './administration.ts';
import { poolSandboxRoutes } from './sandbox-routes.ts';

const path = '/api/orgs/:organization/agent-pools';
const onePool = z.object({ organization: z.string().max(100), poolId: z.string().max(100) });
const organizationOnly = onePool.pick({ organization: true });
const access = userToken;

const body = z.object({
  name: z.string().min(1).max(100),
  description: z.string().max(1000).default(''),
});
const change = z.object({
  name: z.string().min(1).max(100).optional(),
  description: z.string().max(1000).optional(),
});

/** Agent pools of an organization, as Pulumi's REST API has them. */
export function poolRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  poolSandboxRoutes(app, controlPlane);

  route(app, controlPlane, { method: 'GET', path, access, params: organizationOnly }, async (call) => {
    const pools = await poolsOf(call.principal, call.params.organization);
    const defaultPool = pools.find((pool) => pool.isDefault);
    return { agentPools: pools.map(poolAnswer), ...(defaultPool && { defaultAgentPoolID: defaultPool.id }) };
  });

  route(app, controlPlane, { method: 'POST', path, access, params: organizationOnly, body }, async (call) => {
    const { organization } = call.params;
    await poolsOf(call.principal, organization);
    const pool = await createPool(db, organization, call.body);
    if (!pool) throw nameTaken(call.body.name);
    return { id: pool.id, tokenValue: pool.token };
  });

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/:poolId`, access, params: onePool },
    async (call) => {
      const pool = await poolOf(call.principal, call.params);
      const { id, name, description } = pool;
      const created = unixSeconds(pool.createdAt);
      return { id, name, description, created, agents: await runnersOfPool(db, id) };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'PATCH', path: `${path}/:poolId`, access, params: onePool, body: change },
    async (call) => {
      const pool = await poolOf(call.principal, call.params);
      const name = call.body.name ?? pool.name;
      const description = call.body.description ?? pool.description;
      if (!(await renamePool(db, pool.id, { name, description }))) throw nameTaken(name);
      return { name, description };
    },
  );

  const query = z.object({ force: z.enum(['true', 'false', '']).default('false') });
  route(
    app,
    controlPlane,
    { method: 'DELETE', path: `${path}/:poolId`, access, params: onePool, query },
    async (call) => {
      const pool = await poolOf(call.principal, call.params);
      if (pool.isDefault) {
        throw badRequest(
          `Bad Request: "${pool.name}" is the default pool, which runs without a pool go to; it stays.`,
        );
      }
      const objection = await removePool(db, pool.id, call.query.force === 'true');
      if (objection) throw badRequest(`Bad Request: Agent pool is in use: ${objection}`);
    },
  );

  async function poolsOf(principal: UserPrincipal, organization: string): Promise<readonly PoolDetails[]> {
    if (!principal.organizations.includes(organization)) {
      throw notFound(`Not Found: the organization "${organization}" is not yours.`);
    }
    return listPools(db, organization);
  }

  async function poolOf(principal: UserPrincipal, { organization, poolId }: z.infer<typeof onePool>) {
    const pool = (await poolsOf(principal, organization)).find(({ id }) => id === poolId);
    if (!pool) throw notFound(`Not Found: the organization "${organization}" has no agent pool ${poolId}.`);
    return pool;
  }
}

function nameTaken(name: string) {
  return conflict(`Conflict: the organization has an agent pool of the name "${name}" already.`);
}

function poolAnswer(pool: PoolDetails) {
  return {
    id: pool.id,
    name: pool.name,
    description: pool.description,
    isDefault: pool.isDefault,
    created: unixSeconds(pool.createdAt),
    lastSeen: unixSeconds(pool.lastSeenAt),
    ...(pool.lastRunAt && { lastDeployment: unixSeconds(pool.lastRunAt) }),
    status: pool.isOnline ? 'online' : 'offline',
  };
}

/** Unix seconds; 0 for never. */
function unixSeconds(time: Date | null): number {
  return time ? Math.floor(time.getTime() / 1000) : 0;
}
