import { type StackIdentity, stackIdentity } from '@slipway/core';
import { sql } from 'kysely';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { notFound } from '../http/errors.ts';
import type { Principal } from '../identity/index.ts';

export interface StackRecord extends StackIdentity {
  readonly id: string;
  readonly projectId: string;
  readonly tags: Record<string, string>;
  /** Version of the newest update that may have changed the state. */
  readonly version: number;
}

/** Path of a stack in the API, and its parameters. */
export const stackPath = '/api/stacks/:organization/:project/:stack';
export const stackParams = stackIdentity;

const maximumTags = 250;
/** Tags of a stack, as they are set: bounded, since every list of stacks is searched by them. */
export const stackTags = z
  .record(z.string().min(1).max(40), z.string().max(256))
  .refine((tags) => Object.keys(tags).length <= maximumTags, `a stack has at most ${maximumTags} tags`);

export async function findStack(db: Database, identity: StackIdentity): Promise<StackRecord | undefined> {
  const { rows } = await sql<StackRecord>`
    SELECT s.id, s.project_id AS "projectId", s.tags, s.version, o.name AS organization, p.name AS project, s.name AS stack
    FROM stacks s JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    WHERE o.name = ${identity.organization} AND p.name = ${identity.project} AND s.name = ${identity.stack}`.execute(
    db,
  );
  return rows[0];
}

/**
 * The stack, for a caller who may open it: a user who belongs to its organization, or the run whose stack it is.
 * Throws 404 otherwise, so that nobody learns which stacks exist elsewhere.
 */
export async function openStack(
  controlPlane: ControlPlane,
  principal: Principal,
  identity: StackIdentity,
): Promise<StackRecord> {
  const stack = await findStack(controlPlane.db, identity);
  const { organization, project, stack: name } = identity;
  if (!stack || !mayOpen(principal, stack))
    throw notFound(`Not Found: Stack '${organization}/${project}/${name}'`);
  return stack;
}

function mayOpen(principal: Principal, stack: StackRecord): boolean {
  return principal.kind === 'job'
    ? principal.stackId === stack.id
    : principal.organizations.includes(stack.organization);
}

/** The project's id; the project is made when there is none. Undefined when the organization does not exist. */
export async function ensureProject(
  db: Database,
  organization: string,
  project: string,
): Promise<string | undefined> {
  await sql`
    INSERT INTO projects (organization_id, name) SELECT id, ${project} FROM organizations WHERE name = ${organization}
    ON CONFLICT DO NOTHING`.execute(db);
  const { rows } = await sql<{ id: string }>`
    SELECT p.id FROM projects p JOIN organizations o ON o.id = p.organization_id
    WHERE o.name = ${organization} AND p.name = ${project}`.execute(db);
  return rows[0]?.id;
}

/** Whether an error is PostgreSQL's "duplicate key". */
export function isDuplicate(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505';
}
