import {
  type Json,
  mergeSettings,
  type SecretInput,
  type StoredSettings,
  type StoredValue,
  secretInput,
  settingsShape,
  storedSettings,
} from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { Database } from '../database/database.ts';
import { badRequest } from '../http/errors.ts';
import { poolOfRun } from '../pools/index.ts';
import { wakeImages } from '../queue/index.ts';
import type { StackRecord } from '../stacks/index.ts';
import { withSealedPassword } from './repository-password.ts';
import { DeploymentSecrets } from './sealing.ts';

/** Larger settings would not fit in the frame that takes the job to the executor. */
const maximumSettingsBytes = 256 * 1024;

export interface SettingsRevision {
  readonly settings: StoredSettings;
  /** Who wrote them last: `api` or `provider`. */
  readonly source: string;
  readonly version: number;
}

/** The deployment settings of a stack; undefined when there are none. */
export async function findSettings(db: Database, stackId: string): Promise<SettingsRevision | undefined> {
  const row = await db
    .selectFrom('deployment_settings')
    .select(['settings', 'source', 'version'])
    .where('stack_id', '=', stackId)
    .executeTakeFirst();
  return row && { ...row, settings: storedSettings.parse(JSON.parse(row.settings)) };
}

/** Settings out of a request, their secrets sealed for the stack. Throws 400 with the name of what is wrong. */
export function sealedSettings(controlPlane: ControlPlane, stack: StackRecord, body: Json): StoredSettings {
  const secrets = new DeploymentSecrets(controlPlane.masterKey, stack.id);
  const parsed = requestShape(secrets.store).safeParse(body);
  if (parsed.success)
    return withSealedPassword(parsed.data, (value) => secrets.store({ kind: 'secret', value }));
  const issue = parsed.error.issues[0];
  throw badRequest(
    `Bad Request: invalid deployment settings at "${issue?.path.join('.')}": ${issue?.message}`,
  );
}

function requestShape(store: (input: SecretInput) => StoredValue) {
  return settingsShape(secretInput.transform(store));
}

/** Whether a change leaves in place what it does not mention. */
export type SettingsChange = 'merge' | 'replace';

/** Changes the settings of a stack and answers what they are now. Throws 400. */
export async function changeSettings(
  controlPlane: ControlPlane,
  stack: StackRecord,
  change: SettingsChange,
  body: Json,
  source: string,
): Promise<SettingsRevision> {
  const patch = sealedSettings(controlPlane, stack, body);
  return controlPlane.db.transaction().execute(async (tx) => {
    // Two changes at once take turns, also when there are no settings yet.
    await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`deployment settings of ${stack.id}`}, 0))`.execute(
      tx,
    );
    const present = change === 'merge' ? await findSettings(tx, stack.id) : undefined;
    const settings = mergeSettings(present?.settings ?? {}, patch);
    await checkSettings(tx, stack, settings);
    const { version } = await tx
      .insertInto('deployment_settings')
      .values({ stack_id: stack.id, settings: JSON.stringify(settings), source })
      .onConflict((conflict) =>
        conflict.column('stack_id').doUpdateSet({
          settings: (e) => e.ref('excluded.settings'),
          source: (e) => e.ref('excluded.source'),
          version: sql<number>`deployment_settings.version + 1`,
        }),
      )
      .returning('version')
      .executeTakeFirstOrThrow();
    await wakeImages(tx);
    return { settings, source, version };
  });
}

/** Throws 400 when the settings are too large or name a pool that does not exist. */
export async function checkSettings(
  db: Database,
  stack: StackRecord,
  settings: StoredSettings,
): Promise<void> {
  const bytes = Buffer.byteLength(JSON.stringify(settings));
  if (bytes > maximumSettingsBytes) {
    throw badRequest(
      `Bad Request: the deployment settings have ${bytes} bytes, at most ${maximumSettingsBytes} are allowed: move long commands or values into the repository.`,
    );
  }
  const poolId = settings.agentPoolID;
  if (poolId && !(await poolOfRun(db, stack.organization, poolId))) {
    throw badRequest(
      `Bad Request: Invalid agent pool id: the organization "${stack.organization}" has no pool "${poolId}".`,
    );
  }
}

/** Whether there were settings to remove. */
export async function removeSettings(db: Database, stackId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('deployment_settings')
    .where('stack_id', '=', stackId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
