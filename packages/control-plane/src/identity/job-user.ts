import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { unauthorized } from '../http/errors.ts';
import type { JobPrincipal, UserPrincipal } from './principal.ts';

/**
 * The user that a run appears as: named after the runs, member of the organization of its stack and of no other.
 */
export async function jobUser(db: Database, job: JobPrincipal): Promise<Omit<UserPrincipal, 'kind'>> {
  const { rows } = await sql<{ organization: string }>`
    SELECT o.name AS organization FROM stacks s
    JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    WHERE s.id = ${job.stackId}`.execute(db);
  const organization = rows[0]?.organization;
  if (organization === undefined) throw unauthorized('Unauthorized: the stack of this job token is gone.');
  return {
    userId: job.runId,
    login: 'slipway-run',
    displayName: 'Slipway run',
    email: '',
    organizations: [organization],
  };
}
