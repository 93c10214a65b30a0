import type { Database } from '../database/database.ts';
import { notFound } from '../http/errors.ts';
import { type PoolRecord, poolOfRun } from '../pools/index.ts';
import type { StackRecord } from '../stacks/index.ts';
import { findSettings } from './settings.ts';

/** The pool that runs of the stack go to, as its settings are now. Throws 404. */
export async function poolOfStack(db: Database, stack: StackRecord): Promise<PoolRecord> {
  const revision = await findSettings(db, stack.id);
  const pool = await poolOfRun(db, stack.organization, revision?.settings.agentPoolID);
  if (!pool)
    throw notFound(`Not Found: the organization "${stack.organization}" has no default pool of runners.`);
  return pool;
}
