import type { Job } from '@slipway/core';
import type { RunCache } from './cache/run-cache.ts';
import type { Step } from './step.ts';
import { downloadDependencies } from './steps/download-dependencies.ts';
import { getSource } from './steps/get-source.ts';
import { preRunCommand } from './steps/pre-run-command.ts';
import { pulumiOperation } from './steps/pulumi-operation.ts';
import { removeStack } from './steps/remove-stack.ts';
import { restoreCache } from './steps/restore-cache.ts';
import { saveCache } from './steps/save-cache.ts';

/** The steps of a deployment, in order. */
export function planSteps(job: Job): Step[] {
  const { operation, options, preRunCommands } = job;
  const cache: RunCache = { mayBeSaved: false, wasRestored: false };
  const removesStack = operation === 'destroy' && options.deleteAfterDestroy;
  return [
    getSource,
    // Before any command of the user's: nothing has yet had the chance to name another entry.
    ...(options.cacheDependencies ? [restoreCache(cache)] : []),
    // Before the dependencies: access to private registries (`.npmrc`, `pip config`) is set up here.
    ...preRunCommands.map((script, index) =>
      preRunCommand(script, preRunCommands.length === 1 ? null : index + 1),
    ),
    ...(options.skipInstallDependencies ? [] : [downloadDependencies]),
    ...pulumiOperation(job),
    // Last of all: what is saved is written to no more.
    ...(removesStack ? [removeStack] : options.cacheDependencies ? [saveCache(cache)] : []),
  ];
}
