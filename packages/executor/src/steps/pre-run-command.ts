import { runCommand } from '../command.ts';
import { expectSuccess } from '../expect-success.ts';
import type { Step } from '../step.ts';

const defaultShell = '/bin/sh';
/** As libc, Node and Go have it. */
const busy = /resource busy|EBUSY/;
const aboutCachedFolders =
  'A folder of the dependency cache is a mount point here: it can be emptied (`rm -rf node_modules/*`), but not removed.';

/**
 * Runs one of the user's own commands in the project's folder, in a shell of its own. `number` is null when it is the
 * only one.
 */
export function preRunCommand(script: string, number: number | null): Step {
  const name = number === null ? 'Pre-run command' : `Pre-run command ${number}`;
  return {
    name,
    async run({ job, layout, environment, log, cancellation, cache }) {
      const end = await runCommand(
        {
          argv: [job.options.shell ?? defaultShell, '-c', script],
          workingDirectory: layout.projectDirectory,
          environment,
          interrupt: 'group',
        },
        log,
        cancellation,
      );
      const hasMounts = job.options.cacheDependencies && cache.transfer === 'device';
      const advice =
        hasMounts && end.lastLines.some((line) => busy.test(line)) ? aboutCachedFolders : undefined;
      expectSuccess(end, `The step "${name}"`, 'program-error', advice);
    },
  };
}
