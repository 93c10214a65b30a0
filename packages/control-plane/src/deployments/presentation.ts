import { deploymentStatusOf, type StepReport, type StoredSettings } from '@slipway/core';
import type { DeploymentRecord } from './record.ts';
import { repositoryUrl } from './source.ts';
import { formatSqlTime } from './sql-time.ts';

/** Deployments as Pulumi's REST API answers them (`GetDeploymentResponse`, `ListDeploymentSnapshot`). */

/** What one deployment and an entry of a list have in common. */
function commonAnswer(deployment: DeploymentRecord) {
  const { id, version, operation, initiator, requestedBy, run } = deployment;
  return {
    id,
    version,
    status: deploymentStatusOf(run.state, run.outcome),
    pulumiOperation: operation,
    created: formatSqlTime(run.createdAt),
    modified: formatSqlTime(run.modifiedAt),
    initiator,
    requestedBy: {
      name: requestedBy.name,
      githubLogin: requestedBy.login,
      email: requestedBy.email,
      avatarUrl: '',
    },
  };
}

/** One deployment. */
export function deploymentAnswer(
  deployment: DeploymentRecord,
  steps: readonly StepReport[],
  latestVersion: number,
) {
  const hasStarted = deployment.run.state !== 'queued';
  return {
    ...commonAnswer(deployment),
    latestVersion,
    configuration: configurationAnswer(deployment.settings),
    ...(hasStarted && { jobs: [jobAnswer(deployment, steps)] }),
  };
}

/** An entry of a list. */
export function listEntryAnswer(
  deployment: DeploymentRecord,
  steps: readonly StepReport[],
  updates: readonly object[],
) {
  return {
    ...commonAnswer(deployment),
    projectName: deployment.project,
    stackName: deployment.stack,
    paused: false,
    agentPool: deployment.pool,
    jobs: deployment.run.state === 'queued' ? [] : [jobAnswer(deployment, steps)],
    updates,
  };
}

/** The one job that a deployment has: its run. */
function jobAnswer({ run }: DeploymentRecord, steps: readonly StepReport[]) {
  return {
    status: deploymentStatusOf(run.state, run.outcome),
    ...(run.startedAt && { started: run.startedAt.toISOString() }),
    lastUpdated: run.modifiedAt.toISOString(),
    steps: steps.map(({ name, status, startedAt, updatedAt }) => ({
      name,
      status,
      ...(startedAt && { started: startedAt }),
      ...(updatedAt && { lastUpdated: updatedAt }),
    })),
  };
}

/** What a deployment was made of, for display: the values of secrets are left out. */
function configurationAnswer(settings: StoredSettings) {
  const variables = Object.entries(settings.operationContext?.environmentVariables ?? {});
  const repoURL = repositoryUrl(settings);
  const { branch, commit, repoDir } = settings.sourceContext?.git ?? {};
  return {
    environmentVariables: variables.flatMap(([name, value]) => {
      if (value === null) return [];
      return typeof value === 'string' ? { name, secret: false, value } : { name, secret: true };
    }),
    ...(repoURL !== undefined && {
      source: {
        git: { repoURL, ...(branch && { branch }), ...(commit && { commit }), ...(repoDir && { repoDir }) },
      },
    }),
  };
}
