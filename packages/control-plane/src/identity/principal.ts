import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { hashToken } from './token.ts';

/** Who is calling, by an access token. */
export type Principal = UserPrincipal | JobPrincipal;

export interface UserPrincipal {
  readonly kind: 'user';
  readonly userId: string;
  readonly login: string;
  readonly displayName: string;
  readonly email: string;
  /** Names of the organizations that the user belongs to. */
  readonly organizations: readonly string[];
}

/** A run, through its job token: it opens one stack, for as long as the run lives. */
export interface JobPrincipal {
  readonly kind: 'job';
  readonly runId: string;
  readonly stackId: string;
}

/** The principal behind an access token; undefined when there is no such token (any more). */
export async function findPrincipal(db: Database, token: string): Promise<Principal | undefined> {
  const row = await db
    .selectFrom('access_tokens')
    .leftJoin('users', 'users.id', 'access_tokens.user_id')
    .select([
      'access_tokens.run_id',
      'access_tokens.stack_id',
      'users.id',
      'users.login',
      'users.display_name',
      'users.email',
    ])
    .select(
      sql<string[]>`ARRAY(
        SELECT o.name FROM organization_members m JOIN organizations o ON o.id = m.organization_id
        WHERE m.user_id = users.id ORDER BY o.created_at)`.as('organizations'),
    )
    .where('token_hash', '=', hashToken(token))
    .executeTakeFirst();
  if (!row) return undefined;
  if (row.run_id !== null && row.stack_id !== null) {
    return { kind: 'job', runId: row.run_id, stackId: row.stack_id };
  }
  if (row.id === null || row.login === null) return undefined;
  return {
    kind: 'user',
    userId: row.id,
    login: row.login,
    displayName: row.display_name ?? row.login,
    email: row.email ?? '',
    organizations: row.organizations,
  };
}
