import type { Job, Operation } from '@slipway/core';
import type { Step } from '../step.ts';
import { detectDrift, remediateDrift, remediation } from './drift.ts';
import { pulumiStep } from './pulumi-step.ts';

interface Invocation {
  /**
   * Header of the step. At `pulumi <operation>` the CLI of the user begins to follow the engine's events; with a drift
   * operation there it would panic (Pulumi CLI pkg/backend/apply.go: ActionLabel), so these carry the name of what
   * they run.
   */
  readonly stepName: string;
  readonly arguments: readonly string[];
}

/** As the Automation API does it: without a preview of its own, which would come first in the deployment's updates. */
const invocations: Record<Exclude<Operation, 'detect-drift'>, Invocation> = {
  update: { stepName: 'pulumi update', arguments: ['up', '--yes', '--skip-preview'] },
  preview: { stepName: 'pulumi preview', arguments: ['preview'] },
  refresh: { stepName: 'pulumi refresh', arguments: ['refresh', '--yes', '--skip-preview'] },
  destroy: { stepName: 'pulumi destroy', arguments: ['destroy', '--yes', '--skip-preview'] },
  'remediate-drift': { stepName: 'pulumi up', arguments: remediation },
};

/** The steps that carry out the operation of the deployment. */
export function pulumiOperation({ operation, options }: Pick<Job, 'operation' | 'options'>): Step[] {
  if (operation === 'detect-drift') {
    const drift = { isFound: false };
    return [detectDrift(drift), ...(options.remediateIfDriftDetected ? [remediateDrift(drift)] : [])];
  }
  const { stepName, arguments: words } = invocations[operation];
  return [pulumiStep(stepName, words)];
}
