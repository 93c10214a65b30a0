import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of a PostgreSQL whose databases come and go with tests (`shared-postgres.ts`). */
    sharedPostgresUrl: string;
  }
}

/** Holds what a control plane makes of an empty database; copied for each test server. */
export const templateDatabase = 'slipway_template';

/** A database of its own for a test server; made from `template0`, it is empty. */
export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

export async function makeTestDatabase(template = templateDatabase): Promise<TestDatabase> {
  const postgresUrl = inject('sharedPostgresUrl');
  const name = `slipway_${randomUUID().replaceAll('-', '')}`;
  await query(postgresUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(postgresUrl);
  url.pathname = name;
  return { url: url.href, drop: () => query(postgresUrl, `DROP DATABASE ${name} WITH (FORCE)`) };
}

async function query(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
