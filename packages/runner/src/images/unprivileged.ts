import { type CommandOptions, runCommand } from '../setup/run-command.ts';

/** The user that a runner with root rights becomes to open images: it owns nothing on the host. */
const userId = 983_040;
/** Where a command sees the folder that it works in. It exists on every Linux host. */
const workingMount = '/mnt';

/** Gives a folder and all that is in it to the user as whom `runUnprivileged` works. */
export async function handOver(folder: string): Promise<void> {
  if (process.getuid?.() === 0) await runCommand(['chown', '-R', '-h', `${userId}:${userId}`, folder]);
}

/**
 * Runs a command on files of an image, which nobody vouches for: without any right on the host, root only inside a user
 * namespace of its own, with `folder` at `/mnt` as its working directory. It dies with this process. Hand the
 * folder over first.
 */
export async function runUnprivileged(
  folder: string,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const inNamespace = ['unshare', '--user', '--map-root-user'];
  const withFolder = [
    'sh',
    '-c',
    `mount --bind "$1" ${workingMount} && cd ${workingMount} && shift && exec "$@"`,
  ];
  const untilWeEnd = ['setpriv', '--pdeathsig', 'KILL', ...argv];
  const environment = { PATH: process.env.PATH, HOME: workingMount, TMPDIR: workingMount };
  if (process.getuid?.() !== 0) {
    const command = [...inNamespace, '--mount', ...withFolder, 'sh', folder, ...untilWeEnd];
    return runCommand(command, { ...options, environment });
  }
  const dropRights = [
    ...['setpriv', '--reuid', String(userId), '--regid', String(userId), '--clear-groups'],
    ...['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'],
  ];
  // The folder may lie where only root gets to, so it is mounted while there still are rights to do so.
  return runCommand(
    ['unshare', '--mount', ...withFolder, 'sh', folder, ...dropRights, ...inNamespace, ...untilWeEnd],
    { ...options, environment },
  );
}
