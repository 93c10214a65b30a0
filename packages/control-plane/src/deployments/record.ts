import {
  type DeploymentStatus,
  type Operation,
  type StackIdentity,
  type StoredSettings,
  storedSettings,
} from '@slipway/core';
import { type RawBuilder, sql } from 'kysely';
import * as z from 'zod';
import type { Database } from '../database/database.ts';
import { findRuns, type RunRecord } from '../queue/index.ts';

/** A deployment with its run. */
export interface DeploymentRecord {
  /** Also the id of the run. */
  readonly id: string;
  readonly stackId: string;
  readonly project: string;
  readonly stack: string;
  readonly version: number;
  readonly operation: Operation;
  readonly settings: StoredSettings;
  readonly initiator: string;
  readonly requestedBy: { readonly name: string; readonly login: string; readonly email: string };
  readonly pool: { readonly id: string; readonly name: string };
  readonly run: RunRecord;
}

export const deploymentSort = z.enum(['created', 'modified', 'version', 'status', 'operation']);

export interface Page {
  readonly page: number;
  readonly pageSize: number;
  readonly sort: z.infer<typeof deploymentSort>;
  readonly ascending: boolean;
  readonly status?: DeploymentStatus | undefined;
  /** Only these operations; all of them when absent. */
  readonly operations?: readonly Operation[];
}

/** Whose deployments are listed. */
export type DeploymentScope = { readonly stackId: string } | { readonly organizationId: string };

type Row = Omit<DeploymentRecord, 'settings' | 'requestedBy' | 'pool' | 'run'> & {
  readonly settings: string;
  readonly userName: string | null;
  readonly userLogin: string | null;
  readonly userEmail: string | null;
  readonly poolId: string;
  readonly poolName: string;
};

/** `deploymentStatusOf` of core, for the database. */
const status = sql<DeploymentStatus>`
  CASE runs.state WHEN 'queued' THEN 'not-started' WHEN 'claimed' THEN 'accepted' WHEN 'running' THEN 'running'
    ELSE runs.outcome END`;

const tables = sql`
  deployments d JOIN runs ON runs.id = d.id JOIN pools ON pools.id = runs.pool_id
  JOIN stacks s ON s.id = d.stack_id JOIN projects p ON p.id = s.project_id
  LEFT JOIN users u ON u.id = d.requested_by`;

const columns = sql`
  d.id, d.stack_id AS "stackId", p.name AS project, s.name AS stack, d.version, d.operation, d.settings, d.initiator,
  u.display_name AS "userName", u.login AS "userLogin", u.email AS "userEmail",
  pools.id AS "poolId", pools.name AS "poolName"`;

/** Ties are broken by the version, so that pages never overlap. */
const sortColumns: Readonly<Record<Page['sort'], RawBuilder<unknown>>> = {
  created: sql`runs.created_at`,
  modified: sql`runs.modified_at`,
  version: sql`d.version`,
  status,
  operation: sql`d.operation`,
};

/** One page of deployments, and how many there are on all pages. */
export async function listDeployments(
  db: Database,
  scope: DeploymentScope,
  page: Page,
): Promise<{ deployments: readonly DeploymentRecord[]; total: number }> {
  const inScope =
    'stackId' in scope
      ? sql`d.stack_id = ${scope.stackId}`
      : sql`p.organization_id = ${scope.organizationId}`;
  const hasStatus = page.status ? sql`${status} = ${page.status}` : sql`true`;
  const hasOperation = page.operations ? sql`d.operation = ANY(${page.operations})` : sql`true`;
  const condition = sql`${inScope} AND ${hasStatus} AND ${hasOperation}`;
  const direction = page.ascending ? sql`ASC` : sql`DESC`;
  const { rows } = await sql<Row>`
    SELECT ${columns} FROM ${tables} WHERE ${condition}
    ORDER BY ${sortColumns[page.sort]} ${direction}, d.version ${direction}, d.id
    OFFSET ${(page.page - 1) * page.pageSize} LIMIT ${page.pageSize}`.execute(db);
  const count = await sql<{
    total: number;
  }>`SELECT count(*) AS total FROM ${tables} WHERE ${condition}`.execute(db);
  return { deployments: await withRuns(db, rows), total: count.rows[0]?.total ?? 0 };
}

/** A deployment of a stack by its id or its version; undefined when the stack has none such. */
export async function findDeployment(
  db: Database,
  stackId: string,
  reference: { readonly id: string } | { readonly version: number },
): Promise<DeploymentRecord | undefined> {
  if ('id' in reference && !z.uuid().safeParse(reference.id).success) return undefined;
  const condition = 'id' in reference ? sql`d.id = ${reference.id}` : sql`d.version = ${reference.version}`;
  const { rows } = await sql<Row>`
    SELECT ${columns} FROM ${tables} WHERE d.stack_id = ${stackId} AND ${condition}`.execute(db);
  return (await withRuns(db, rows))[0];
}

/** The names of a stack; undefined when it was removed. */
export async function stackById(db: Database, stackId: string): Promise<StackIdentity | undefined> {
  const { rows } = await sql<StackIdentity>`
    SELECT o.name AS organization, p.name AS project, s.name AS stack
    FROM stacks s JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    WHERE s.id = ${stackId}`.execute(db);
  return rows[0];
}

/** The stack that a run is about; undefined when there is no such run, or its stack was removed. */
export async function stackOfRun(db: Database, runId: string): Promise<StackIdentity | undefined> {
  const deployment = await db
    .selectFrom('deployments')
    .select('stack_id')
    .where('id', '=', runId)
    .executeTakeFirst();
  return deployment && stackById(db, deployment.stack_id);
}

/** Version of the newest deployment of a stack; 0 when it has none. */
export async function latestVersion(db: Database, stackId: string): Promise<number> {
  const { rows } = await sql<{ version: number | null }>`
    SELECT max(version) AS version FROM deployments WHERE stack_id = ${stackId}`.execute(db);
  return rows[0]?.version ?? 0;
}

async function withRuns(db: Database, rows: readonly Row[]): Promise<DeploymentRecord[]> {
  const runs = await findRuns(
    db,
    rows.map((row) => row.id),
  );
  return rows.flatMap(({ userName, userLogin, userEmail, poolId, poolName, ...row }) => {
    const run = runs.get(row.id);
    if (!run) return [];
    return {
      ...row,
      settings: storedSettings.parse(JSON.parse(row.settings)),
      requestedBy: { name: userName ?? '', login: userLogin ?? '', email: userEmail ?? '' },
      pool: { id: poolId, name: poolName },
      run,
    };
  });
}
