import type { Job } from '@slipway/core';
import type { Step } from './step.ts';
import { downloadDependencies } from './steps/download-dependencies.ts';
import { getSource } from './steps/get-source.ts';
import { preRunCommand } from './steps/pre-run-command.ts';
import { pulumiOperation } from './steps/pulumi-operation.ts';
import { removeStack } from './steps/remove-stack.ts';

/** The steps of a deployment, in order. */
export function planSteps({ operation, options, preRunCommands }: Job): Step[] {
  return [
    getSource,
    // Before the dependencies: access to private registries (`.npmrc`, `pip config`) is set up here.
    ...preRunCommands.map((script, index) =>
      preRunCommand(script, preRunCommands.length === 1 ? null : index + 1),
    ),
    ...(options.skipInstallDependencies ? [] : [downloadDependencies]),
    pulumiOperation(operation),
    ...(operation === 'destroy' && options.deleteAfterDestroy ? [removeStack] : []),
  ];
}
