import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { prepareCluster } from '../src/database/cluster.ts';
import { migrate } from '../src/database/migrate.ts';
import { PostgresProcess } from '../src/database/postgres-process.ts';
import { templateDatabase } from './test-database.ts';

/** Test files run beside each other, each with a server or two that hold 20 connections at most. */
const maximumConnections = 200;

/**
 * One PostgreSQL for all tests of the control plane (`globalSetup`), with a database to copy for each of their servers:
 * making a PostgreSQL of its own takes each a second and more.
 */
export default async function startSharedPostgres(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-test-postgres-'));
  const cluster = await prepareCluster(folder);
  const serverCommand = [...cluster.serverCommand, '-c', `max_connections=${maximumConnections}`];
  const postgres = await PostgresProcess.start({ ...cluster, serverCommand });
  const { socketDirectory, userName } = cluster;
  const urlOf = (database: string) =>
    `postgres://${userName}@localhost/${database}?host=${encodeURIComponent(socketDirectory)}`;
  const client = new pg.Client({ connectionString: urlOf('postgres') });
  await client.connect();
  await client.query(`CREATE DATABASE ${templateDatabase}`);
  await client.end();
  await migrate({ url: urlOf(templateDatabase) });
  project.provide('sharedPostgresUrl', urlOf('postgres'));
  return async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
