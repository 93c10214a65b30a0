import type { Database } from '../database/database.ts';
import { hashToken, newToken } from './token.ts';

/** The login of the user that the first start makes. */
const administratorLogin = 'admin';

/**
 * Makes sure that an organization and an administrator in it exist, so that `pulumi stack init dev` works at once.
 * Answers a new access token when `token` is not the administrator's; the caller keeps it in a file.
 */
export async function ensureAdministrator(
  db: Database,
  organization: string,
  token: string | undefined,
): Promise<string> {
  return db.transaction().execute(async (tx) => {
    await tx
      .insertInto('organizations')
      .values({ name: organization })
      .onConflict((c) => c.doNothing())
      .execute();
    await tx
      .insertInto('users')
      .values({ login: administratorLogin, display_name: 'Administrator', email: '' })
      .onConflict((c) => c.doNothing())
      .execute();
    const { id } = await tx
      .selectFrom('users')
      .select('id')
      .where('login', '=', administratorLogin)
      .executeTakeFirstOrThrow();
    await tx
      .insertInto('organization_members')
      .columns(['organization_id', 'user_id'])
      .expression((from) =>
        from
          .selectFrom('organizations')
          .select((s) => ['id as organization_id', s.val(id).as('user_id')])
          .where('name', '=', organization),
      )
      .onConflict((c) => c.doNothing())
      .execute();
    if (token !== undefined) {
      const known = await tx
        .selectFrom('access_tokens')
        .select('id')
        .where('token_hash', '=', hashToken(token))
        .executeTakeFirst();
      if (known) return token;
    }
    const issued = newToken('pul');
    await tx
      .insertInto('access_tokens')
      .values({
        token_hash: hashToken(issued),
        description: 'first administrator',
        user_id: id,
        run_id: null,
        stack_id: null,
      })
      .execute();
    return issued;
  });
}
