import { formatStackIdentity } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { findRun, reasonForWaiting, reportOfRun, stepsOfRuns } from '../queue/index.ts';
import { openStack } from '../stacks/index.ts';
import { stackOfRun } from './record.ts';

/** A run with all that Pulumi's API has no place for: why it ended, how long its phases took, what it ran on. */
export function runRoute(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  const params = z.object({ runId: z.string().max(100) });
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/slipway/runs/:runId', access: userToken, params },
    async (call) => {
      const { runId } = call.params;
      const isRunId = z.uuid().safeParse(runId).success;
      const stack = isRunId ? await stackOfRun(db, runId) : undefined;
      const run = stack && (await findRun(db, runId));
      if (!run) throw notFound(`Not Found: there is no run ${runId}.`);
      await openStack(controlPlane, call.principal, stack);
      const { sandbox, phaseMilliseconds, egress } = await reportOfRun(db, run.id);
      return {
        id: run.id,
        workflow: run.workflow,
        stack: formatStackIdentity(stack),
        number: run.number,
        platform: run.platform,
        grantedSandbox: JSON.parse(run.grantedSandbox),
        state: run.state,
        outcome: run.outcome,
        ...(run.state === 'queued' && { waiting: await reasonForWaiting(db, run) }),
        cause: run.cause,
        message: run.message,
        claims: run.claims,
        createdAt: run.createdAt,
        startedAt: run.startedAt,
        finishedAt: run.finishedAt,
        cancelRequestedAt: run.cancelRequestedAt,
        steps: (await stepsOfRuns(db, [run.id])).get(run.id) ?? [],
        sandbox,
        phaseMilliseconds,
        egress,
      };
    },
  );
}
