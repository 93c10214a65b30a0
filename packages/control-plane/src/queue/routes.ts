import {
  claimRequest,
  finishRequest,
  heartbeatRequest,
  jobRequest,
  leaseTiming,
  logRequest,
  registerRequest,
  runnerContractPath,
  stepsRequest,
} from '@slipway/core';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { notFound, unauthorized } from '../http/errors.ts';
import { type Access, route } from '../http/route.ts';
import { appendLines } from '../logs/index.ts';
import { findPool, findRunner, type PoolRecord, registerRunner } from '../pools/index.ts';
import { waitForClaim } from './claim-route.ts';
import { endRun } from './finish.ts';
import { handOutJob } from './job.ts';
import { answerTo, lockLeasedRun, renewLease } from './lease.ts';
import { keepRecovering } from './recover.ts';
import { storeSteps } from './report.ts';
import { WakeUp } from './wake-up.ts';
import { type Workflows, workflowOf } from './workflow.ts';

/** The server's side of the runner contract, and what keeps the queue moving. */
export function queueRoutes(app: FastifyInstance, controlPlane: ControlPlane, workflows: Workflows): void {
  const { db, now } = controlPlane;
  const wakeUp = new WakeUp(controlPlane);
  const closing = new AbortController();
  app.addHook('onReady', () => wakeUp.open());
  app.addHook('preClose', async () => closing.abort());
  app.addHook('onClose', () => wakeUp.close());
  keepRecovering(app, controlPlane);

  const poolOf = async (token: string): Promise<PoolRecord> => {
    const pool = await findPool(db, token);
    if (!pool) throw unauthorized('Unauthorized: no pool has this token. See `--pool-token` of the runner.');
    return pool;
  };
  const call = <A extends Access>(name: string, access: A) =>
    ({ method: 'POST', path: `${runnerContractPath}/${name}`, access }) as const;

  route(
    app,
    controlPlane,
    { ...call('register', 'pool'), body: registerRequest },
    async ({ bearer, body, request }) => {
      const pool = await poolOf(bearer);
      const runnerId = await registerRunner(db, pool.id, body, request.ip);
      const { leaseSeconds, heartbeatSeconds } = leaseTiming;
      return { runnerId, poolName: pool.name, leaseSeconds, heartbeatSeconds };
    },
  );

  route(
    app,
    controlPlane,
    { ...call('claim', 'pool'), body: claimRequest },
    async ({ bearer, body, reply }) => {
      const pool = await poolOf(bearer);
      const runner = await findRunner(db, pool.id, body.runnerId);
      if (!runner)
        throw notFound(`Not Found: the pool "${pool.name}" has no runner ${body.runnerId}: register again.`);
      const gone = AbortSignal.any([closing.signal, hungUp(reply)]);
      return waitForClaim({ controlPlane, workflows, wakeUp }, runner, body, gone);
    },
  );

  route(app, controlPlane, { ...call('heartbeat', 'lease'), body: heartbeatRequest }, async ({ bearer }) =>
    answerTo(await renewLease(db, bearer)),
  );

  route(app, controlPlane, { ...call('job', 'lease'), body: jobRequest }, async ({ bearer }) => ({
    job: await handOutJob(db, workflows, bearer),
  }));

  route(app, controlPlane, { ...call('steps', 'lease'), body: stepsRequest }, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      const run = await renewLease(tx, bearer);
      await storeSteps(tx, run.id, body.steps, body.sandbox);
      return answerTo(run);
    }),
  );

  route(app, controlPlane, { ...call('log', 'lease'), body: logRequest }, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      // The renewal locks the run: it cannot be taken from its runner between the check and the lines.
      const run = await renewLease(tx, bearer);
      await appendLines(tx, run.id, body.lines, await workflowOf(workflows, run).secrets(tx, run.id));
      return answerTo(run);
    }),
  );

  route(app, controlPlane, { ...call('finish', 'lease'), body: finishRequest }, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      const run = await lockLeasedRun(tx, bearer);
      if (run.state !== 'finished') await endRun(tx, run.id, { ...body, leaseTokenStays: true }, now());
    }),
  );
}

/** Aborted when the client closed the connection before its call was answered. */
function hungUp(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.on('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
