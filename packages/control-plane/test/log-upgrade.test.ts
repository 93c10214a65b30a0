import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import { migrate } from '../src/database/migrate.ts';
import { makeTestDatabase } from './test-database.ts';

const migrations = join(import.meta.dirname, '..', 'migrations');

/** Brings an empty database to the version before a migration. */
async function migrateUpTo(client: pg.Client, url: string, next: string): Promise<void> {
  const later = (await readdir(migrations)).filter((name) => name >= next);
  await client.query('CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())');
  await client.query('INSERT INTO migrations (name) SELECT unnest($1::text[])', [later]);
  await migrate({ url });
  await client.query('DELETE FROM migrations WHERE name = ANY($1)', [later]);
}

test('of a run that goes on over the upgrade, nothing is held back of pieces that have gone on, and its lines are counted', async () => {
  const database = await makeTestDatabase('template0');
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await migrateUpTo(client, database.url, '000020_log_chunks.sql');
    // Lines without the run that they are of, for the migrations as well.
    await client.query('SET session_replication_role = replica');
    await client.query(`DO $$ BEGIN
      EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database());
    END $$`);
    await client.query(`
      INSERT INTO run_log_lines (run_id, sequence, step, kind, logged_at, text, held)
      SELECT md5(run)::uuid, sequence, 0, kind, now(), '', held::bytea FROM (VALUES
        ('one', 1, 'line', 'went on'), ('one', 2, 'line', NULL), ('one', 3, 'line', 'did not'),
        ('one', 4, 'header', NULL), ('one', 5, 'line', 'may yet'), ('two', 6, 'line', NULL)
      ) AS line (run, sequence, kind, held)`);
    await migrate({ url: database.url });
    const { rows } = await client.query(
      'SELECT first_sequence AS sequence FROM run_log_chunks WHERE held IS NOT NULL ORDER BY first_sequence',
    );
    expect(rows).toEqual([{ sequence: 3 }, { sequence: 5 }]);
    const { rows: blocks } = await client.query(
      'SELECT step, block, line_count FROM run_log_blocks ORDER BY 1, 2, 3',
    );
    expect(blocks).toEqual([
      { step: 0, block: 0, line_count: 1 },
      { step: 0, block: 0, line_count: 4 },
    ]);
  } finally {
    await client.end();
    await database.drop();
  }
});
