import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { type DeploymentRecord, findDeployment, listDeployments } from '../deployments/index.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { openStack, stackParams, updatesOfRun } from '../stacks/index.ts';
import { driftRunAnswer } from './presentation.ts';
import { driftOperations, driftStatusOf } from './status.ts';

const path = '/api/stacks/:organization/:project/:stack/drift';
const access = userToken;
const listQuery = z.object({
  page: z.coerce.number().int().min(1).max(1_000_000).default(1),
  pageSize: z.coerce.number().int().min(1).max(100).default(10),
});

/** Drift of a stack, as Pulumi's REST API has it (`pulumi stack drift list`, `pulumi stack drift status`). */
export function driftRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/runs`, access, params: stackParams, query: listQuery },
    async ({ principal, params, query }) => {
      const stack = await openStack(controlPlane, principal, params);
      const newestFirst = { sort: 'version', ascending: false, operations: driftOperations } as const;
      const page = await listDeployments(db, { stackId: stack.id }, { ...query, ...newestFirst });
      const driftRuns = await Promise.all(page.deployments.map(answerOf));
      return { driftRuns, itemsPerPage: query.pageSize, total: page.total };
    },
  );

  const oneRun = stackParams.extend({ driftRunId: z.string().max(100) });
  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/runs/:driftRunId`, access, params: oneRun },
    async ({ principal, params }) => {
      const stack = await openStack(controlPlane, principal, params);
      const deployment = await findDeployment(db, stack.id, { id: params.driftRunId });
      if (!deployment || !driftOperations.includes(deployment.operation))
        throw notFound(`Not Found: the stack has no drift run ${params.driftRunId}.`);
      return answerOf(deployment);
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: `${path}/status`, access, params: stackParams },
    async ({ principal, params }) => {
      const stack = await openStack(controlPlane, principal, params);
      return driftStatusOf(db, stack.id);
    },
  );

  async function answerOf(deployment: DeploymentRecord) {
    return driftRunAnswer(deployment, await updatesOfRun(db, deployment.id));
  }
}
