import {
  deploymentOptions,
  type Job,
  openedSettings,
  type RegistryCredentials,
  type RunOutline,
  runSandbox,
  storedSettings,
} from '@slipway/core';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { grantCache } from '../dependency-caches/index.ts';
import { issueJobToken } from '../identity/index.ts';
import type { RunRecord, WorkflowRuns } from '../queue/index.ts';
import { imagesOfPool } from './images.ts';
import { stackById } from './record.ts';
import { DeploymentSecrets } from './sealing.ts';
import { gitCredentialsOf, gitSourceOf } from './source.ts';

interface FrozenDeployment {
  readonly id: string;
  readonly stackId: string;
  readonly version: number;
  readonly operation: Job['operation'];
  /** JSON text. */
  readonly settings: string;
  readonly sealedJobToken: Buffer | null;
}

export interface DeploymentRunOptions {
  /** Time that a cancelled operation gets to end by itself. */
  readonly cancelGraceSeconds: number;
}

/** What the queue is told about the runs of deployments. */
export function deploymentRuns(
  { masterKey, log }: Pick<ControlPlane, 'masterKey' | 'log'>,
  { cancelGraceSeconds }: DeploymentRunOptions,
): WorkflowRuns {
  return {
    outline: (db, run) => outlineOf(db, run, cancelGraceSeconds),
    imageCredentials,
    images: (db, pool) => imagesOfPool({ db, masterKey, log }, pool),
    job,
  };

  async function imageCredentials(db: Database, run: RunRecord): Promise<RegistryCredentials | null> {
    const deployment = await frozen(db, run.id);
    const { open } = new DeploymentSecrets(masterKey, deployment.stackId);
    const { settings } = openedSettings(JSON.parse(deployment.settings), open);
    return settings.executorContext?.executorImage?.credentials ?? null;
  }

  async function job(db: Database, run: RunRecord): Promise<Job> {
    const deployment = await frozen(db, run.id);
    const stack = await stackById(db, deployment.stackId);
    if (!stack) throw new Error(`The stack of deployment ${deployment.id} was removed.`);
    const sealing = new DeploymentSecrets(masterKey, deployment.stackId);
    const jobToken = await jobTokenOf(db, deployment, sealing);
    const { settings, secretValues } = openedSettings(JSON.parse(deployment.settings), sealing.open);
    const source = gitSourceOf(settings);
    if (!source) throw new Error(`The deployment ${deployment.id} names no repository.`);
    const credentials = gitCredentialsOf(settings.sourceContext?.git?.gitAuth);
    const { environmentVariables, preRunCommands, options } = settings.operationContext ?? {};
    return {
      runId: run.id,
      workflow: run.workflow,
      stack,
      operation: deployment.operation,
      deployment: { id: deployment.id, version: deployment.version },
      jobToken,
      consoleUrl: '',
      source: credentials ? { ...source, credentials } : source,
      environment: definedEntries(environmentVariables ?? {}),
      preRunCommands: preRunCommands ?? [],
      options: deploymentOptions.parse({
        ...definedEntries(options ?? {}),
        cacheDependencies: settings.cacheOptions?.enable ?? false,
      }),
      executorRootPath: settings.executorContext?.executorRootPath || '/',
      secrets: [...secretValues, jobToken],
    };
  }
}

async function outlineOf(
  db: Database,
  run: RunRecord,
  graceSeconds: number,
): Promise<RunOutline | undefined> {
  const deployment = await frozen(db, run.id);
  const stack = await stackById(db, deployment.stackId);
  if (!stack) return undefined;
  const settings = storedSettings.parse(JSON.parse(deployment.settings));
  const sandbox = runSandbox.parse(JSON.parse(run.grantedSandbox));
  return {
    runId: run.id,
    workflow: run.workflow,
    platform: run.platform,
    stack,
    operation: deployment.operation,
    deployment: { id: deployment.id, version: deployment.version },
    imageReference: settings.executorContext?.executorImage?.reference ?? null,
    sandbox,
    cache: settings.cacheOptions?.enable
      ? ((await grantCache(db, run.poolId, {
          stackId: deployment.stackId,
          operation: deployment.operation,
          pullRequest: settings.vcs?.deployPullRequest ?? settings.gitHub?.deployPullRequest ?? null,
          isSeparate: sandbox.cacheScope === 'stack',
        })) ?? null)
      : null,
    graceSeconds,
  };
}

/** The job token, made at the first call and kept sealed, so that a repeated call answers the same. */
async function jobTokenOf(
  db: Database,
  deployment: FrozenDeployment,
  sealing: DeploymentSecrets,
): Promise<string> {
  if (deployment.sealedJobToken) return sealing.openToken(deployment.sealedJobToken);
  const token = await issueJobToken(db, { runId: deployment.id, stackId: deployment.stackId });
  await db
    .updateTable('deployments')
    .set({ sealed_job_token: sealing.sealToken(token) })
    .where('id', '=', deployment.id)
    .execute();
  return token;
}

async function frozen(db: Database, runId: string): Promise<FrozenDeployment> {
  const deployment = await db
    .selectFrom('deployments')
    .select([
      'id',
      'stack_id as stackId',
      'version',
      'operation',
      'settings',
      'sealed_job_token as sealedJobToken',
    ])
    .where('id', '=', runId)
    .executeTakeFirst();
  if (!deployment) throw new Error(`There is no deployment of the run ${runId}.`);
  return deployment;
}

function definedEntries<T>(members: Readonly<Record<string, T | null | undefined>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) => (value == null ? [] : [[name, value]])),
  );
}
