import type { Database } from '../database/database.ts';
import type { UpdateKind } from './tables.ts';

/** An update as history shows it. */
export interface UpdateRecord {
  readonly id: string;
  readonly stackId: string;
  readonly runId: string | null;
  readonly kind: UpdateKind;
  /** It changes nothing: a `preview`, or a dry run of another kind. */
  readonly isPreview: boolean;
  readonly result: 'not-started' | 'in-progress' | 'succeeded' | 'failed';
  readonly version: number;
  readonly message: string;
  readonly environment: Record<string, string>;
  readonly config: Record<string, unknown>;
  readonly resourceChanges: Record<string, number> | undefined;
  /** Unix seconds; 0 while there is none. */
  readonly startTime: number;
  readonly endTime: number;
  readonly requestedBy: { readonly name: string; readonly login: string };
}

function selectUpdates(db: Database) {
  return db
    .selectFrom('updates')
    .leftJoin('users', 'users.id', 'updates.requested_by')
    .selectAll('updates')
    .select(['users.login', 'users.display_name']);
}

type UpdateRow = Awaited<ReturnType<ReturnType<typeof selectUpdates>['execute']>>[number];

function recordOf(row: UpdateRow): UpdateRecord {
  return {
    id: row.id,
    stackId: row.stack_id,
    runId: row.run_id,
    kind: row.kind,
    isPreview: row.is_preview,
    result: row.result ?? (row.state === 'running' ? 'in-progress' : 'not-started'),
    version: row.version,
    message: row.message,
    environment: JSON.parse(row.environment),
    config: JSON.parse(row.config),
    resourceChanges: row.resource_changes === null ? undefined : JSON.parse(row.resource_changes),
    startTime: unixSeconds(row.started_at),
    endTime: unixSeconds(row.ended_at),
    requestedBy: { name: row.display_name ?? 'Slipway run', login: row.login ?? 'slipway-run' },
  };
}

function unixSeconds(date: Date | null): number {
  return date ? Math.floor(date.getTime() / 1000) : 0;
}

/** The started updates of a stack, newest first: those that may change it, or its previews. */
export async function historyOf(
  db: Database,
  stackId: string,
  which: { previews: boolean; limit: number; offset: number },
): Promise<UpdateRecord[]> {
  const rows = await selectUpdates(db)
    .where('stack_id', '=', stackId)
    .where('state', '<>', 'created')
    .where('is_preview', '=', which.previews)
    .orderBy('updates.started_at', 'desc')
    .limit(which.limit)
    .offset(which.offset)
    .execute();
  return rows.map(recordOf);
}

/** The updates that a run made with its job token, the newest (the running one) first. */
export async function updatesOfRun(db: Database, runId: string): Promise<UpdateRecord[]> {
  const rows = await selectUpdates(db)
    .where('run_id', '=', runId)
    .where('state', '<>', 'created')
    .orderBy('updates.started_at', 'desc')
    .execute();
  return rows.map(recordOf);
}

/** `apitype.UpdateInfo`, the inner one: what `pulumi stack history` reads. */
export function updateInfo(update: UpdateRecord) {
  return {
    kind: update.kind,
    startTime: update.startTime,
    message: update.message,
    environment: update.environment,
    config: update.config,
    result: update.result,
    endTime: update.endTime,
    version: update.version,
    ...(update.resourceChanges && {
      resourceChanges: update.resourceChanges,
      resourceCount: Object.entries(update.resourceChanges)
        .filter(([operation]) => operation !== 'delete')
        .reduce((count, [, changes]) => count + changes, 0),
    }),
  };
}
