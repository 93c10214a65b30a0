import {
  type Cause,
  deploymentStatusOf,
  formatStackIdentity,
  type Operation,
  type RunOutcome,
  type RunState,
} from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import { type RawBuilder, sql } from 'kysely';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { openStack, stackParams } from '../stacks/index.ts';

const query = z.object({ limit: z.coerce.number().int().min(1).max(100).default(20) });

/** The newest runs with why they ended, of which Pulumi's lists have no place: of all that the caller may open, or of a stack. */
export function runListRoute(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/slipway/runs', access: userToken, query },
    async ({ principal, query: { limit } }) => ({
      runs: await newestRuns(db, sql`o.name = ANY(${principal.organizations})`, limit),
    }),
  );

  route(
    app,
    controlPlane,
    {
      method: 'GET',
      path: '/api/slipway/stacks/:organization/:project/:stack/runs',
      access: userToken,
      params: stackParams,
      query,
    },
    async ({ principal, params, query: { limit } }) => {
      const stack = await openStack(controlPlane, principal, params);
      return { runs: await newestRuns(db, sql`s.id = ${stack.id}`, limit) };
    },
  );
}

interface Row {
  readonly id: string;
  readonly organization: string;
  readonly project: string;
  readonly stack: string;
  readonly number: number;
  readonly operation: Operation;
  readonly state: RunState;
  readonly outcome: RunOutcome | null;
  readonly cause: Cause | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly modifiedAt: Date;
}

async function newestRuns(db: Database, condition: RawBuilder<unknown>, limit: number) {
  const { rows } = await sql<Row>`
    SELECT d.id, o.name AS organization, p.name AS project, s.name AS stack, d.version AS number, d.operation,
      runs.state, runs.outcome, runs.cause, runs.created_at AS "createdAt", runs.started_at AS "startedAt",
      runs.modified_at AS "modifiedAt"
    FROM deployments d JOIN runs ON runs.id = d.id JOIN stacks s ON s.id = d.stack_id
    JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    WHERE ${condition} ORDER BY runs.created_at DESC, d.version DESC, d.id LIMIT ${limit}`.execute(db);
  return rows.map(({ organization, project, stack, state, outcome, ...run }) => ({
    ...run,
    stack: formatStackIdentity({ organization, project, stack }),
    status: deploymentStatusOf(state, outcome),
  }));
}
