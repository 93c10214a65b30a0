import { maximumUsageSamples, type UsageReport, type UsageSample, usage } from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/**
 * Keeps what a run has used: the newest summary, and each sample once. What is told twice is not noticed; a run that has
 * more samples than any runner of ours makes gets no more. The caller has locked the run.
 */
export async function storeUsage(
  tx: Database,
  runId: string,
  { summary, samples }: UsageReport,
): Promise<void> {
  await sql`UPDATE runs SET usage = ${JSON.stringify(summary)} WHERE id = ${runId}`.execute(tx);
  const { stored } = await tx
    .selectFrom('run_usage_samples')
    .select((table) => table.fn.countAll<number>().as('stored'))
    .where('run_id', '=', runId)
    .executeTakeFirstOrThrow();
  const rows = samples
    .slice(0, Math.max(0, maximumUsageSamples - stored))
    .map(({ at, seconds, sandbox, host }) => {
      return { run_id: runId, ended_at: new Date(at), seconds, usage: JSON.stringify({ sandbox, host }) };
    });
  if (rows.length === 0) return;
  await tx
    .insertInto('run_usage_samples')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** All samples of a run, in order. */
export async function usageSamplesOf(db: Database, runId: string): Promise<UsageSample[]> {
  const rows = await db
    .selectFrom('run_usage_samples')
    .selectAll()
    .where('run_id', '=', runId)
    .orderBy('ended_at')
    .execute();
  return rows.map((row) => ({
    at: row.ended_at.toISOString(),
    seconds: row.seconds,
    ...usage.parse(JSON.parse(row.usage)),
  }));
}
