import { sql } from 'kysely';
import type { Database } from '../database/database.ts';
import { badRequest } from '../http/errors.ts';
import type { Principal } from '../identity/index.ts';

const defaultPageSize = 100;

export interface StackListQuery {
  readonly organization?: string | undefined;
  readonly project?: string | undefined;
  readonly tagName?: string | undefined;
  readonly tagValue?: string | undefined;
  readonly continuationToken?: string | undefined;
  readonly maxResults?: number | undefined;
}

interface ListedStack {
  readonly id: string;
  readonly orgName: string;
  readonly projectName: string;
  readonly stackName: string;
  readonly updateState: string | null;
  readonly endedAt: Date | null;
  readonly resourceCount: number | null;
}

/** The stacks that the caller may open, by name, a page at a time (`apitype.ListStacksResponse`). */
export async function listStacks(db: Database, principal: Principal, query: StackListQuery) {
  const pageSize = query.maxResults ?? defaultPageSize;
  const visible =
    principal.kind === 'job'
      ? sql`s.id = ${principal.stackId}`
      : sql`o.name = ANY (${principal.organizations})`;
  const after = query.continuationToken ? parseContinuation(query.continuationToken) : undefined;
  const { rows } = await sql<ListedStack>`
    SELECT s.id, o.name AS "orgName", p.name AS "projectName", s.name AS "stackName",
      u.state AS "updateState", u.ended_at AS "endedAt", c.resource_count AS "resourceCount"
    FROM stacks s JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    LEFT JOIN LATERAL (
      SELECT state, ended_at FROM updates WHERE stack_id = s.id AND NOT is_preview AND state <> 'created'
      ORDER BY created_at DESC LIMIT 1) u ON true
    LEFT JOIN LATERAL (
      SELECT resource_count FROM checkpoints WHERE stack_id = s.id ORDER BY version DESC LIMIT 1) c ON true
    WHERE ${visible}
      AND (${query.organization ?? null}::text IS NULL OR o.name = ${query.organization ?? null})
      AND (${query.project ?? null}::text IS NULL OR p.name = ${query.project ?? null})
      AND (${query.tagName ?? null}::text IS NULL OR jsonb_exists(s.tags, ${query.tagName ?? null}))
      AND (${query.tagValue ?? null}::text IS NULL OR s.tags ->> ${query.tagName ?? ''} = ${query.tagValue ?? null})
      AND (${after === undefined} OR (o.name, p.name, s.name) > (${after?.[0] ?? ''}, ${after?.[1] ?? ''}, ${after?.[2] ?? ''}))
    ORDER BY o.name, p.name, s.name LIMIT ${pageSize + 1}`.execute(db);
  const page = rows.slice(0, pageSize);
  const last = page.at(-1);
  return {
    stacks: page.map(({ id, orgName, projectName, stackName, updateState, endedAt, resourceCount }) => ({
      ...{ id, orgName, projectName, stackName },
      // 0 means that an update is in progress.
      ...(updateState !== null && { lastUpdate: Math.floor((endedAt?.getTime() ?? 0) / 1000) }),
      ...(resourceCount !== null && { resourceCount }),
    })),
    ...(rows.length > pageSize &&
      last && { continuationToken: `${last.orgName}/${last.projectName}/${last.stackName}` }),
  };
}

/** A continuation token is the name of the last stack of the page before. */
function parseContinuation(token: string): string[] {
  const parts = token.split('/');
  if (parts.length !== 3) throw badRequest(`Bad Request: '${token}' is no continuation token.`);
  return parts;
}
