import { formatStackIdentity } from '@slipway/core';
import { runCommand } from '../command.ts';
import { expectSuccess } from '../expect-success.ts';
import type { Step } from '../step.ts';

/** A step that runs the CLI on the stack of the deployment. A cancellation interrupts the CLI, not what it started. */
export function pulumiStep(name: string, words: readonly string[]): Step {
  return {
    name,
    async run({ job, layout, environment, log, cancellation }) {
      const end = await runCommand(
        {
          argv: ['pulumi', ...words, '--non-interactive', '--stack', formatStackIdentity(job.stack)],
          workingDirectory: layout.projectDirectory,
          environment,
          interrupt: 'process',
        },
        log,
        cancellation,
      );
      expectSuccess(end, `The step "${name}"`, 'program-error');
    },
  };
}
