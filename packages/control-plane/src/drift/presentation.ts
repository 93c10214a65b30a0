import { type DeploymentStatus, deploymentStatusOf } from '@slipway/core';
import type { DeploymentRecord } from '../deployments/index.ts';
import type { UpdateRecord } from '../stacks/index.ts';

/** A drift run (`DriftRun` of Pulumi's REST API): a deployment that detects drift, remediates it, or both. */
export function driftRunAnswer(deployment: DeploymentRecord, updates: readonly UpdateRecord[]) {
  const { id, version, run } = deployment;
  const detection = updates.find(({ kind, isPreview }) => kind === 'refresh' && isPreview);
  const remediation = updates.find(({ isPreview }) => !isPreview);
  return {
    id,
    created: run.createdAt.toISOString(),
    deploymentId: id,
    deploymentVersion: version,
    status: deploymentStatusOf(run.state, run.outcome),
    driftDetected: hasChanges(detection ?? remediation),
    ...(detection && { detectUpdate: updateAnswer(detection) }),
    ...(remediation && { remediateUpdate: updateAnswer(remediation) }),
  };
}

function hasChanges(update: UpdateRecord | undefined): boolean {
  return Object.entries(update?.resourceChanges ?? {}).some(([kind, count]) => kind !== 'same' && count > 0);
}

function updateAnswer({ id, result, resourceChanges, startTime, endTime }: UpdateRecord) {
  return {
    updateId: id,
    status: statuses[result],
    modified: new Date((endTime || startTime) * 1000).toISOString(),
    ...(resourceChanges && { resourceChanges }),
  };
}

const statuses: Readonly<Record<UpdateRecord['result'], DeploymentStatus>> = {
  'not-started': 'not-started',
  'in-progress': 'running',
  succeeded: 'succeeded',
  failed: 'failed',
};
