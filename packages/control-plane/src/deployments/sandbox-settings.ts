import { type RunSandbox, runSandboxOf, type SandboxSettings, sandboxSettings } from '@slipway/core';
import type { Database } from '../database/database.ts';
import { sandboxSettingsOfPool } from '../pools/index.ts';

/** What a stack wishes of the sandboxes of its runs. */
export async function sandboxSettingsOfStack(db: Database, stackId: string): Promise<SandboxSettings> {
  const row = await db
    .selectFrom('stack_sandbox_settings')
    .select('settings')
    .where('stack_id', '=', stackId)
    .executeTakeFirst();
  return row ? sandboxSettings.parse(JSON.parse(row.settings)) : {};
}

export async function setSandboxSettingsOfStack(
  db: Database,
  stackId: string,
  settings: SandboxSettings,
): Promise<void> {
  await db
    .insertInto('stack_sandbox_settings')
    .values({ stack_id: stackId, settings: JSON.stringify(settings) })
    .onConflict((conflict) =>
      conflict.column('stack_id').doUpdateSet({ settings: (e) => e.ref('excluded.settings') }),
    )
    .execute();
}

/** The sandbox that a run of this stack gets in this pool, as both are set now. */
export async function grantSandbox(db: Database, poolId: string, stackId: string): Promise<RunSandbox> {
  return runSandboxOf(await sandboxSettingsOfPool(db, poolId), await sandboxSettingsOfStack(db, stackId));
}
