import { saysDiskFull } from '@slipway/core';
import pg from 'pg';
import type { Log } from '../control-plane.ts';
import { prepareCluster } from './cluster.ts';
import type { DatabaseServer } from './database-server.ts';
import { DiskRoom } from './disk-room.ts';
import { outageFailure } from './failures.ts';
import { PostgresProcess } from './postgres-process.ts';
import { type Outage, Supervision } from './supervision.ts';

const databaseName = 'slipway';
/** A call waits for so long for a database that is being started again; that takes a second, as a rule. */
const patienceMilliseconds = 10_000;

/** A PostgreSQL server of our own: started with the control plane, stopped with it, reachable on a Unix socket only. */
export interface EmbeddedPostgres extends DatabaseServer {
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL with its data below `dataDirectory`, and starts it again whenever it ends by itself.
 * Throws when another control plane uses the directory, and when PostgreSQL does not start.
 */
export async function startEmbeddedPostgres(dataDirectory: string, log: Log): Promise<EmbeddedPostgres> {
  const cluster = await prepareCluster(dataDirectory);
  const room = new DiskRoom(cluster.folder, log);
  const supervision = await Supervision.begin((signal) => PostgresProcess.start(cluster, signal), log);
  const { socketDirectory, userName } = cluster;
  try {
    await createDatabase({ host: socketDirectory, user: userName });
  } catch (error) {
    await supervision.stop();
    throw error;
  }
  return {
    location: { socketDirectory, databaseName, userName },
    get isServing() {
      return supervision.outage === undefined;
    },
    ready: async () => {
      const { outage } = supervision;
      if (outage) await untilOver(outage);
    },
    requireRoom: () => room.require(),
    stop: () => supervision.stop(),
  };
}

/** Throws what a call is answered with when it lasts too long. Room on a disk is not made by waiting for a moment. */
async function untilOver(outage: Outage): Promise<void> {
  const patience = Promise.withResolvers<'lasts'>();
  const milliseconds = saysDiskFull(outage.reason) ? 0 : patienceMilliseconds;
  const timer = setTimeout(() => patience.resolve('lasts'), milliseconds);
  const state = await Promise.race([outage.over, patience.promise]);
  clearTimeout(timer);
  if (state === 'lasts') throw outageFailure(outage.reason);
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
