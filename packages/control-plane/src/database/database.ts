import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { DeploymentTables } from '../deployments/tables.ts';
import type { IdentityTables } from '../identity/tables.ts';
import type { LogTables } from '../logs/tables.ts';
import type { PoolTables } from '../pools/tables.ts';
import type { QueueTables } from '../queue/tables.ts';
import type { StackTables } from '../stacks/tables.ts';

/** All tables. Each slice declares its own. */
export type DatabaseSchema = IdentityTables &
  StackTables &
  PoolTables &
  QueueTables &
  LogTables &
  DeploymentTables;
export type Database = Kysely<DatabaseSchema>;

/** Where PostgreSQL is: a URL, or the socket of the embedded server. */
export type DatabaseLocation =
  | { readonly url: string }
  | { readonly socketDirectory: string; readonly databaseName: string; readonly userName: string };

const maximumConnections = 20;

/** Connection settings for `pg`. */
export function connectionConfig(location: DatabaseLocation): pg.ClientConfig {
  return 'url' in location
    ? { connectionString: location.url }
    : { host: location.socketDirectory, database: location.databaseName, user: location.userName };
}

/** One connection pool for the whole process. 64-bit integers are read as numbers: all of ours stay below 2^53. */
export function openDatabase(location: DatabaseLocation): Database {
  pg.types.setTypeParser(pg.types.builtins.INT8, Number);
  const pool = new pg.Pool({ ...connectionConfig(location), max: maximumConnections });
  // A connection that breaks fails its query, or is replaced when it is idle. Without listeners it would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return new Kysely<DatabaseSchema>({ dialect: new PostgresDialect({ pool }) });
}
