import {
  claimRequest,
  finishRequest,
  heartbeatRequest,
  imageCredentialsRequest,
  imagesRequest,
  jobRequest,
  lateLogRequest,
  logRequest,
  lostRequest,
  maskWith,
  registerRequest,
  runnerContractPath,
  type SecretPatterns,
  stepsRequest,
  usageRequest,
} from '@slipway/core';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import type { Access } from '../http/access.ts';
import { notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { appendLines } from '../logs/index.ts';
import { findRunner, type PoolRecord, poolToken, type RunnerRecord, registerRunner } from '../pools/index.ts';
import { waitForClaim } from './claim-route.ts';
import { storeEgress } from './egress.ts';
import { endRun } from './finish.ts';
import { waitForImages } from './images-route.ts';
import { handOutJob } from './job.ts';
import { deliveryToken, takeLateLog } from './late-log.ts';
import { answerTo, leaseToken, lockLeasedRun, renewLease } from './lease.ts';
import { noteLostRunner } from './lost-runner.ts';
import { keepRecovering } from './recover.ts';
import { storeSteps } from './report.ts';
import { logOf, type RunRecord } from './run.ts';
import { storeUsage } from './usage.ts';
import { WakeUp } from './wake-up.ts';
import { type Workflows, workflowOf } from './workflow.ts';

/** Runners send nothing larger: a batch of log lines has half a MiB. */
const maximumBodyBytes = 8 * 1024 * 1024;

/** The server's side of the runner contract, and what keeps the queue moving. */
export function queueRoutes(app: FastifyInstance, controlPlane: ControlPlane, workflows: Workflows): void {
  const { db, now, runSecrets } = controlPlane;
  const wakeUp = new WakeUp(controlPlane);
  const closing = new AbortController();
  app.addHook('onReady', () => wakeUp.open());
  app.addHook('preClose', async () => closing.abort());
  app.addHook('onClose', () => wakeUp.close());
  keepRecovering(app, controlPlane);

  const knownRunner = async (pool: PoolRecord, runnerId: string): Promise<RunnerRecord> => {
    const runner = await findRunner(db, pool.id, runnerId);
    if (runner) return runner;
    throw notFound(`Not Found: the pool "${pool.name}" has no runner ${runnerId}: register again.`);
  };
  /** What is to be hidden of a run that the transaction has locked, unfinished. */
  const secretsOf = async (tx: Database, run: RunRecord): Promise<SecretPatterns> => {
    const secrets = await runSecrets.patterns(tx, run.id);
    if (!secrets) throw new Error(`The run ${run.id} has ended.`);
    return secrets;
  };
  const call = <Principal>(name: string, access: Access<Principal>) =>
    ({ method: 'POST', path: `${runnerContractPath}/${name}`, access, maximumBodyBytes }) as const;

  route(
    app,
    controlPlane,
    { ...call('register', poolToken), body: registerRequest },
    async ({ principal: pool, body, request }) => {
      const runnerId = await registerRunner(db, pool.id, body, request.ip);
      const { leaseSeconds, heartbeatSeconds } = controlPlane.leaseTiming;
      return { runnerId, poolName: pool.name, leaseSeconds, heartbeatSeconds };
    },
  );

  route(
    app,
    controlPlane,
    { ...call('claim', poolToken), body: claimRequest },
    async ({ principal: pool, body, reply }) => {
      const runner = await knownRunner(pool, body.runnerId);
      // It waits in the queue for what it would wait for in the hands of a runner: nothing that it says could be kept.
      await controlPlane.database.requireRoom();
      const gone = AbortSignal.any([closing.signal, hungUp(reply)]);
      return waitForClaim({ controlPlane, workflows, wakeUp }, runner, body, gone);
    },
  );

  route(
    app,
    controlPlane,
    { ...call('images', poolToken), body: imagesRequest },
    async ({ principal: pool, body, reply }) => {
      await knownRunner(pool, body.runnerId);
      if (body.failures.length > 0) await controlPlane.database.requireRoom();
      const gone = AbortSignal.any([closing.signal, hungUp(reply)]);
      return waitForImages({ controlPlane, workflows, wakeUp }, pool, body, gone);
    },
  );

  route(
    app,
    controlPlane,
    { ...call('image-credentials', leaseToken), body: imageCredentialsRequest },
    async ({ bearer }) =>
      db.transaction().execute(async (tx) => {
        const run = await renewLease(tx, bearer);
        const credentials = await workflowOf(workflows, run).imageCredentials(tx, run);
        if (credentials) await runSecrets.give(tx, run.id, [credentials.password]);
        return { credentials };
      }),
  );

  route(app, controlPlane, { ...call('heartbeat', leaseToken), body: heartbeatRequest }, async ({ bearer }) =>
    answerTo(await renewLease(db, bearer)),
  );

  route(app, controlPlane, { ...call('job', leaseToken), body: jobRequest }, async ({ bearer }) => ({
    job: await handOutJob(controlPlane, workflows, bearer),
  }));

  route(app, controlPlane, { ...call('steps', leaseToken), body: stepsRequest }, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      const run = await renewLease(tx, bearer);
      const secrets = await secretsOf(tx, run);
      const steps = body.steps.map((step) => ({ ...step, name: maskWith(secrets, step.name) }));
      await storeSteps(tx, run.id, steps, body.sandbox);
      return answerTo(run);
    }),
  );

  const usage = { ...call('usage', leaseToken), body: usageRequest, needsRoom: true } as const;
  route(app, controlPlane, usage, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      const run = await renewLease(tx, bearer);
      await storeUsage(tx, run.id, body);
      return answerTo(run);
    }),
  );

  const log = { ...call('log', leaseToken), body: logRequest, needsRoom: true } as const;
  route(app, controlPlane, log, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      // The renewal locks the run: it cannot be taken from its runner between the check and the lines.
      const run = await renewLease(tx, bearer);
      await appendLines(tx, logOf(run), body.lines, await secretsOf(tx, run), runSecrets.sealOf(run.id));
      return answerTo(run);
    }),
  );

  const lateLog = { ...call('late-log', deliveryToken), body: lateLogRequest, needsRoom: true } as const;
  route(app, controlPlane, lateLog, async ({ bearer, body }) =>
    takeLateLog(controlPlane, bearer, body.lines),
  );

  route(app, controlPlane, { ...call('lost', deliveryToken), body: lostRequest }, async ({ bearer }) =>
    noteLostRunner(controlPlane, bearer),
  );

  route(app, controlPlane, { ...call('finish', leaseToken), body: finishRequest }, async ({ bearer, body }) =>
    db.transaction().execute(async (tx) => {
      const run = await lockLeasedRun(tx, bearer);
      if (run.state === 'finished') return;
      const secrets = await secretsOf(tx, run);
      if (body.egress) await storeEgress(tx, run.id, body.egress, secrets);
      if (body.usage) await storeUsage(tx, run.id, body.usage);
      const message = body.message && maskWith(secrets, body.message);
      await endRun(tx, run.id, { ...body, message, endedBy: 'runner' }, now());
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
