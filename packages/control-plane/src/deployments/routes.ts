import { deploymentStatus, stackIdentity } from '@slipway/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { sql } from 'kysely';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { cancelRun, stepsOfRuns } from '../queue/index.ts';
import { openStack, updatesOfRun } from '../stacks/index.ts';
import { createDeployment } from './create.ts';
import { stackImageRoute } from './image-route.ts';
import { logRoute } from './log-route.ts';
import { deploymentPath, deploymentVersionPath, openDeployment } from './open.ts';
import { deploymentAnswer, listEntryAnswer } from './presentation.ts';
import {
  type DeploymentRecord,
  type DeploymentScope,
  deploymentSort,
  latestVersion,
  listDeployments,
} from './record.ts';
import { runListRoute } from './run-list-route.ts';
import { runRoute } from './run-route.ts';
import { stackSandboxRoutes } from './sandbox-routes.ts';
import { settingsRoutes } from './settings-routes.ts';
import { nestedUpdateAnswer, updateAnswer } from './update-presentation.ts';

const path = '/api/stacks/:organization/:project/:stack/deployments';
const access = userToken;

const listQuery = z.object({
  page: z.coerce.number().int().min(1).max(1_000_000).default(1),
  pageSize: z.coerce.number().int().min(1).max(100).default(10),
  sort: z.preprocess((value) => (value === '' ? undefined : value), deploymentSort.default('created')),
  asc: z.enum(['true', 'false', '']).default('false'),
  status: deploymentStatus.optional(),
});

/** Deployments, as Pulumi's REST API has them. */
export function deploymentRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  settingsRoutes(app, controlPlane);
  stackSandboxRoutes(app, controlPlane);
  stackImageRoute(app, controlPlane);
  logRoute(app, controlPlane);
  runListRoute(app, controlPlane);
  runRoute(app, controlPlane);

  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path,
      access,
      status: 202,
      params: stackIdentity,
      body: z.record(z.string(), z.json()),
      needsRoom: true,
    },
    async (call) => {
      const stack = await openStack(controlPlane, call.principal, call.params);
      const requester = { userId: call.principal.userId, initiator: initiatorOf(call.request) };
      return { ...(await createDeployment(controlPlane, stack, call.body, requester)), consoleUrl: '' };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path, access, params: stackIdentity, query: listQuery },
    async (call) => {
      const stack = await openStack(controlPlane, call.principal, call.params);
      return list({ stackId: stack.id }, call.query);
    },
  );

  route(
    app,
    controlPlane,
    {
      method: 'GET',
      path: '/api/orgs/:organization/deployments',
      access,
      params: stackIdentity.pick({ organization: true }),
      query: listQuery,
    },
    async ({ principal, params, query }) => {
      const organizationId = principal.organizations.includes(params.organization)
        ? await organizationIdOf(controlPlane, params.organization)
        : undefined;
      if (!organizationId)
        throw notFound(`Not Found: the organization "${params.organization}" is not yours.`);
      return list({ organizationId }, query);
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/:deploymentId`, access, params: deploymentPath },
    async (call) => answerOf(await openDeployment(controlPlane, call.principal, call.params)),
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/version/:version`, access, params: deploymentVersionPath },
    async (call) => answerOf(await openDeployment(controlPlane, call.principal, call.params)),
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/:deploymentId/updates`, access, params: deploymentPath },
    async (call) => {
      const stack = await openStack(controlPlane, call.principal, call.params);
      const deployment = await openDeployment(controlPlane, call.principal, call.params);
      return (await updatesOfRun(db, deployment.id)).map((update) => updateAnswer(update, stack.version));
    },
  );

  route(
    app,
    controlPlane,
    { method: 'POST', path: `${path}/:deploymentId/cancel`, access, status: 200, params: deploymentPath },
    async (call) => {
      await cancelRun(controlPlane, (await openDeployment(controlPlane, call.principal, call.params)).id);
      return {};
    },
  );

  async function answerOf(deployment: DeploymentRecord) {
    const steps = await stepsOfRuns(db, [deployment.id]);
    const newest = await latestVersion(db, deployment.stackId);
    return deploymentAnswer(deployment, steps.get(deployment.id) ?? [], newest);
  }

  async function list(scope: DeploymentScope, query: z.infer<typeof listQuery>) {
    const { asc, ...page } = query;
    const { deployments, total } = await listDeployments(db, scope, { ...page, ascending: asc === 'true' });
    const ids = deployments.map(({ id }) => id);
    const steps = await stepsOfRuns(db, ids);
    const entries = [];
    for (const deployment of deployments) {
      const updates = (await updatesOfRun(db, deployment.id)).map(nestedUpdateAnswer);
      entries.push(listEntryAnswer(deployment, steps.get(deployment.id) ?? [], updates));
    }
    return { deployments: entries, itemsPerPage: query.pageSize, total };
  }
}

/** What made a request: clients name themselves in a header. */
function initiatorOf(request: FastifyRequest): string {
  const header = request.headers['x-pulumi-deployment-initiator'];
  return typeof header === 'string' && /^[a-z0-9-]{1,50}$/.test(header) ? header : 'api';
}

async function organizationIdOf({ db }: ControlPlane, name: string): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`SELECT id FROM organizations WHERE name = ${name}`.execute(db);
  return rows[0]?.id;
}
