import type { ColumnType, Generated } from 'kysely';

export interface IdentityTables {
  organizations: { id: Generated<string>; name: string; created_at: ColumnType<Date, never, never> };
  users: {
    id: Generated<string>;
    /** Name as the CLI shows it: `githubLogin` on the wire. */
    login: string;
    display_name: string;
    email: string;
    created_at: ColumnType<Date, never, never>;
  };
  organization_members: { organization_id: string; user_id: string };
  access_tokens: {
    id: Generated<string>;
    /** SHA-256 of the token; the token itself is kept nowhere. */
    token_hash: Buffer;
    description: string;
    user_id: string | null;
    /** Set for a job token: it dies with this run. */
    run_id: string | null;
    /** Set for a job token: the only stack that it opens. */
    stack_id: string | null;
    created_at: ColumnType<Date, never, never>;
  };
}
