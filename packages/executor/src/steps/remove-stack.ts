import { formatStackIdentity } from '@slipway/core';
import { runCommand } from '../command.ts';
import { expectSuccess } from '../failure-reason.ts';
import type { Step } from '../step.ts';

/** Removes the stack, once a destroy has left nothing in it. */
export const removeStack: Step = {
  name: 'pulumi stack rm',
  async run({ job, layout, environment, log, cancellation }) {
    const end = await runCommand(
      {
        argv: [
          'pulumi',
          'stack',
          'rm',
          '--yes',
          '--non-interactive',
          '--stack',
          formatStackIdentity(job.stack),
        ],
        workingDirectory: layout.projectDirectory,
        environment,
        interrupt: 'process',
      },
      log,
      cancellation,
    );
    expectSuccess(end, 'The step "pulumi stack rm"', 'program-error');
  },
};
