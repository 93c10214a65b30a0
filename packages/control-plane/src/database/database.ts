import { Kysely, PostgresDialect, type PostgresPool } from 'kysely';
import pg from 'pg';
import type { DependencyCacheTables } from '../dependency-caches/tables.ts';
import type { DeploymentTables } from '../deployments/tables.ts';
import type { IdentityTables } from '../identity/tables.ts';
import type { LogTables } from '../logs/tables.ts';
import type { PoolTables } from '../pools/tables.ts';
import type { QueueTables } from '../queue/tables.ts';
import type { SecretTables } from '../secrets/tables.ts';
import type { StackTables } from '../stacks/tables.ts';
import { askDatabase } from './ask-database.ts';
import type { DatabaseLocation, DatabaseServer } from './database-server.ts';

/** All tables. Each slice declares its own. */
export type DatabaseSchema = IdentityTables &
  StackTables &
  PoolTables &
  QueueTables &
  LogTables &
  DeploymentTables &
  DependencyCacheTables &
  SecretTables;
export type Database = Kysely<DatabaseSchema>;

const maximumConnections = 20;

/** Connection settings for `pg`. */
export function connectionConfig(location: DatabaseLocation): pg.ClientConfig {
  return 'url' in location
    ? { connectionString: location.url }
    : { host: location.socketDirectory, database: location.databaseName, user: location.userName };
}

/** Throws, with what to do, when a PostgreSQL server of the user's own does not answer or refuses. */
export async function checkDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw new Error(
      `The PostgreSQL server of --database-url cannot be used: ${reasonOf(error)}. Check its address, user and password, and that it runs.`,
      { cause: error },
    );
  } finally {
    await client.end();
  }
}

/** Of a name with several addresses each attempt fails on its own. */
function reasonOf(error: unknown): string {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first.message : String(first);
}

/**
 * One connection pool for the whole process. Who needs a new connection while the server is away waits a moment for it.
 * 64-bit integers are read as numbers: all of ours stay below 2^53.
 */
export function openDatabase(server: Pick<DatabaseServer, 'location' | 'ready'>): Database {
  pg.types.setTypeParser(pg.types.builtins.INT8, Number);
  const pool = new pg.Pool({ ...connectionConfig(server.location), max: maximumConnections });
  // A connection that breaks fails its query, or is replaced when it is idle. Without listeners it would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const patientPool: PostgresPool = {
    connect: () => askDatabase(server, () => pool.connect()),
    end: () => pool.end(),
  };
  return new Kysely<DatabaseSchema>({ dialect: new PostgresDialect({ pool: patientPool }) });
}
