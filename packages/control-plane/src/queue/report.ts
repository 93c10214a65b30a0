import {
  type EgressRecord,
  egressRecord,
  harmlessText,
  type SandboxFacts,
  type StepReport,
  sandboxFacts,
  type UsageSummary,
  usageSummary,
} from '@slipway/core';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Database } from '../database/database.ts';

/** What a runner reported about a run beside its log and steps. */
export interface RunReport {
  /** Who claimed it last; null before that, and when it was forgotten since. */
  readonly runner: { readonly hostname: string; readonly version: string } | null;
  readonly sandbox: SandboxFacts | null;
  readonly phaseMilliseconds: Readonly<Record<string, number>>;
  /** Where it went; null while it runs, and where its runner could not tell. */
  readonly egress: EgressRecord | null;
  /** What it has used; null before it had a sandbox. */
  readonly usage: UsageSummary | null;
}

/** Replaces the steps of a run, and keeps what it runs on once that is known; in the caller's transaction. */
export async function storeSteps(
  tx: Database,
  runId: string,
  steps: readonly StepReport[],
  sandbox: SandboxFacts | undefined,
): Promise<void> {
  await sql`
      UPDATE runs SET modified_at = now(), sandbox = coalesce(${sandbox ? JSON.stringify(sandbox) : null}, sandbox)
      WHERE id = ${runId}`.execute(tx);
  await sql`
      INSERT INTO run_steps (run_id, step, name, status, started_at, updated_at)
      SELECT ${runId}, given.place - 1, given.name, given.status, given.started_at, given.updated_at
      FROM unnest(
        ${steps.map((step) => harmlessText(step.name))}::text[], ${steps.map((step) => step.status)}::text[],
        ${steps.map((step) => step.startedAt)}::timestamptz[], ${steps.map((step) => step.updatedAt)}::timestamptz[]
      ) WITH ORDINALITY AS given (name, status, started_at, updated_at, place)
      ON CONFLICT (run_id, step) DO UPDATE SET
        name = excluded.name, status = excluded.status,
        started_at = excluded.started_at, updated_at = excluded.updated_at`.execute(tx);
  await sql`DELETE FROM run_steps WHERE run_id = ${runId} AND step >= ${steps.length}`.execute(tx);
}

/** The steps of several runs, in order. */
export async function stepsOfRuns(
  db: Database,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, readonly StepReport[]>> {
  const steps = new Map<string, StepReport[]>(runIds.map((id) => [id, []]));
  if (runIds.length === 0) return steps;
  const rows = await db
    .selectFrom('run_steps')
    .selectAll()
    .where('run_id', 'in', runIds)
    .orderBy('run_id')
    .orderBy('step')
    .execute();
  for (const row of rows) {
    steps.get(row.run_id)?.push({
      name: row.name,
      status: row.status,
      startedAt: row.started_at?.toISOString() ?? null,
      updatedAt: row.updated_at?.toISOString() ?? null,
    });
  }
  return steps;
}

const phases = z.record(z.string(), z.number());

export async function reportOfRun(db: Database, runId: string): Promise<RunReport> {
  const { hostname, version, sandbox, phase_milliseconds, egress, usage } = await db
    .selectFrom('runs')
    .leftJoin('runners', 'runners.id', 'runs.runner_id')
    .select(['hostname', 'version', 'sandbox', 'phase_milliseconds', 'egress', 'usage'])
    .where('runs.id', '=', runId)
    .executeTakeFirstOrThrow();
  return {
    runner: hostname === null || version === null ? null : { hostname, version },
    sandbox: sandbox === null ? null : sandboxFacts.parse(JSON.parse(sandbox)),
    phaseMilliseconds: phase_milliseconds === null ? {} : phases.parse(JSON.parse(phase_milliseconds)),
    egress: egress === null ? null : egressRecord.parse(JSON.parse(egress)),
    usage: usage === null ? null : usageSummary.parse(JSON.parse(usage)),
  };
}
