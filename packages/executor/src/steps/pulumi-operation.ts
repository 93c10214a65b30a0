import type { Operation } from '@slipway/core';
import type { Step } from '../step.ts';
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
const invocations: Record<Operation, Invocation> = {
  update: { stepName: 'pulumi update', arguments: ['up', '--yes', '--skip-preview'] },
  preview: { stepName: 'pulumi preview', arguments: ['preview'] },
  refresh: { stepName: 'pulumi refresh', arguments: ['refresh', '--yes', '--skip-preview'] },
  destroy: { stepName: 'pulumi destroy', arguments: ['destroy', '--yes', '--skip-preview'] },
  'detect-drift': { stepName: 'pulumi refresh', arguments: ['refresh', '--preview-only'] },
  'remediate-drift': { stepName: 'pulumi up', arguments: ['up', '--refresh', '--yes', '--skip-preview'] },
};

/** Runs the operation of the deployment. */
export function pulumiOperation(operation: Operation): Step {
  const { stepName, arguments: words } = invocations[operation];
  return pulumiStep(stepName, words);
}
