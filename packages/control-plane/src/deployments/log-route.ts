import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { readLog, readStep } from '../logs/index.ts';
import { stepsOfRuns } from '../queue/index.ts';
import { updatesOfRun } from '../stacks/index.ts';
import { deploymentPath, openDeployment } from './open.ts';
import type { DeploymentRecord } from './record.ts';

const defaultCount = 100;
const maximumCount = 499;

/**
 * When there is nothing new, the answer waits this long and looks again: `pulumi deployment log --all` asks without a
 * pause until the deployment has finished.
 */
const nothingNewMilliseconds = 400;

const optionalText = z.string().max(100).optional();
const query = z.object({
  continuationToken: optionalText,
  /** Older documents call it so. */
  nextToken: optionalText,
  job: optionalText,
  step: optionalText,
  offset: optionalText,
  count: optionalText,
});

/** The log of a deployment: as a stream from a token on, or one step of it (`job` and `step`). */
export function logRoute(app: FastifyInstance, controlPlane: ControlPlane): void {
  const path = '/api/stacks/:organization/:project/:stack/deployments/:deploymentId/logs';
  route(
    app,
    controlPlane,
    { method: 'GET', path, access: userToken, params: deploymentPath, query },
    async (call) => {
      const deployment = await openDeployment(controlPlane, call.principal, call.params);
      if (call.query.job === undefined) {
        const token = call.query.continuationToken || call.query.nextToken;
        const answer = await streamAnswer(controlPlane, deployment, token);
        if (token === undefined || answer.nextToken !== token) return answer;
        await sleep(nothingNewMilliseconds);
        return streamAnswer(
          controlPlane,
          await openDeployment(controlPlane, call.principal, call.params),
          token,
        );
      }
      return stepAnswer(controlPlane, deployment, {
        job: numberOf('job', call.query.job, 0),
        step: numberOf('step', call.query.step, 0),
        offset: numberOf('offset', call.query.offset, 0),
        count: numberOf('count', call.query.count, defaultCount),
      });
    },
  );
}

async function streamAnswer({ db }: ControlPlane, deployment: DeploymentRecord, token: string | undefined) {
  const { id, operation, run } = deployment;
  const isFinished = run.state === 'finished';
  const updates = await updatesOfRun(db, id);
  const hasUpdate = updates.some(({ kind }) => kind === operation);
  return {
    __type: 'DeploymentLogs',
    ...(await readLog(db, { runId: id, operation, isFinished, hasUpdate }, token)),
  };
}

interface StepQuery {
  readonly job: number;
  readonly step: number;
  readonly offset: number;
  readonly count: number;
}

async function stepAnswer({ db }: ControlPlane, { id, run }: DeploymentRecord, page: StepQuery) {
  if (page.count < 1 || page.count > maximumCount) {
    throw badRequest(`Bad Request: Count must be less than ${maximumCount + 1} and more than 0.`);
  }
  const steps = (await stepsOfRuns(db, [id])).get(id) ?? [];
  const step = steps[page.step];
  if (page.job !== 0 || (!step && page.step > 0)) {
    throw notFound(`Not Found: the deployment has no step ${page.step} in job ${page.job}.`);
  }
  const answer = await readStep(db, { runId: id, isFinished: run.state === 'finished' }, page);
  return { __type: 'DeploymentLogsStep', name: step?.name ?? '', ...answer };
}

/** A whole number of a query, 0 or more. Throws 400. */
function numberOf(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === '') return fallback;
  if (!/^\d{1,9}$/.test(text)) {
    throw badRequest(`Bad Request: invalid query at "${name}": "${text}" is no whole number of 0 or more.`);
  }
  return Number(text);
}
