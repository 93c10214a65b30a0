import { runCommand } from '../command.ts';
import { expectSuccess } from '../expect-success.ts';
import type { Step } from '../step.ts';

/** Installs the packages and plugins of the project, as its runtime wants it. */
export const downloadDependencies: Step = {
  name: 'Download dependencies',
  async run({ layout, environment, log, cancellation }) {
    const end = await runCommand(
      {
        argv: ['pulumi', 'install', '--non-interactive'],
        workingDirectory: layout.projectDirectory,
        environment,
        interrupt: 'group',
      },
      log,
      cancellation,
    );
    expectSuccess(end, 'The step "Download dependencies"', 'dependencies-failed');
  },
};
