import { formatStackIdentity, type StackIdentity } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { type Principal, userToken } from '../identity/index.ts';
import {
  findRun,
  type RunRecord,
  reasonForWaiting,
  reportOfRun,
  stepsOfRuns,
  usageSamplesOf,
} from '../queue/index.ts';
import { openStack } from '../stacks/index.ts';
import { stackOfRun } from './record.ts';

const params = z.object({ runId: z.string().max(100) });

/** A run with all that Pulumi's API has no place for: why it ended, how long its phases took, what it ran on and used. */
export function runRoute(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/slipway/runs/:runId', access: userToken, params },
    async (call) => {
      const { run, stack } = await openRun(controlPlane, call.principal, call.params.runId);
      const { runner, sandbox, phaseMilliseconds, egress, usage } = await reportOfRun(db, run.id);
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
        runner,
        sandbox,
        phaseMilliseconds,
        egress,
        usage,
      };
    },
  );

  // Apart from the run, as it may be a megabyte.
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/slipway/runs/:runId/usage', access: userToken, params },
    async (call) => {
      const { run } = await openRun(controlPlane, call.principal, call.params.runId);
      const { usage } = await reportOfRun(db, run.id);
      return { summary: usage, samples: await usageSamplesOf(db, run.id) };
    },
  );
}

/** A run of a stack that the caller may open. Throws 404. */
async function openRun(
  controlPlane: ControlPlane,
  principal: Principal,
  runId: string,
): Promise<{ run: RunRecord; stack: StackIdentity }> {
  const { db } = controlPlane;
  const isRunId = z.uuid().safeParse(runId).success;
  const stack = isRunId ? await stackOfRun(db, runId) : undefined;
  const run = stack && (await findRun(db, runId));
  if (!run) throw notFound(`Not Found: there is no run ${runId}.`);
  await openStack(controlPlane, principal, stack);
  return { run, stack };
}
