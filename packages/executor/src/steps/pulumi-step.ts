import { formatStackIdentity } from '@slipway/core';
import { runCommand } from '../command.ts';
import type { Environment } from '../environment.ts';
import { expectSuccess } from '../expect-success.ts';
import type { Step, StepContext } from '../step.ts';

/** A step that runs the CLI on the stack of the deployment. */
export function pulumiStep(name: string, words: readonly string[]): Step {
  return { name, run: (context) => runPulumi(name, words, context) };
}

/**
 * Runs the CLI on the stack of the deployment, as the step `name`. A cancellation interrupts the CLI, not what it
 * started. Throws `StepFailure` when it does not succeed.
 */
export async function runPulumi(
  name: string,
  words: readonly string[],
  { job, layout, environment, log, cancellation }: StepContext,
  variables: Environment = {},
): Promise<void> {
  const end = await runCommand(
    {
      argv: ['pulumi', ...words, '--non-interactive', '--stack', formatStackIdentity(job.stack)],
      workingDirectory: layout.projectDirectory,
      environment: { ...environment, ...variables },
      interrupt: 'process',
    },
    log,
    cancellation,
  );
  expectSuccess(end, `The step "${name}"`, 'program-error');
}
