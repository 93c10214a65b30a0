import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { connectionConfig } from './database.ts';
import type { DatabaseLocation } from './database-server.ts';

const migrationsDirectory = join(import.meta.dirname, '..', '..', 'migrations');
/** Any number will do, as long as nothing else in this database locks the same. */
const advisoryLock = 8900;

/**
 * Brings the database to the newest version: runs each `migrations/NNNNNN_name.sql` that has not run yet, in order,
 * each in a transaction. Two control planes that start at once take turns.
 */
export async function migrate(location: DatabaseLocation): Promise<void> {
  const client = new pg.Client(connectionConfig(location));
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [advisoryLock]);
    await client.query(
      'CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    const applied = new Set((await client.query('SELECT name FROM migrations')).rows.map((row) => row.name));
    for (const name of (await readdir(migrationsDirectory)).filter((file) => file.endsWith('.sql')).sort()) {
      if (applied.has(name)) continue;
      await apply(client, name);
    }
  } finally {
    await client.end();
  }
}

async function apply(client: pg.Client, name: string) {
  const sql = await readFile(join(migrationsDirectory, name), 'utf8');
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query('INSERT INTO migrations (name) VALUES ($1)', [name]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw new Error(`The database migration ${name} failed`, { cause: error });
  }
}
