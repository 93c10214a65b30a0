import { type PoolSandboxSettings, poolSandboxSettings } from '@slipway/core';
import type { Database } from '../database/database.ts';

/** What a pool says of the sandboxes of its runs. */
export async function sandboxSettingsOfPool(db: Database, poolId: string): Promise<PoolSandboxSettings> {
  const { sandbox_settings } = await db
    .selectFrom('pools')
    .select('sandbox_settings')
    .where('id', '=', poolId)
    .executeTakeFirstOrThrow();
  return poolSandboxSettings.parse(JSON.parse(sandbox_settings));
}

export async function setSandboxSettingsOfPool(
  db: Database,
  poolId: string,
  settings: PoolSandboxSettings,
): Promise<void> {
  await db
    .updateTable('pools')
    .set({ sandbox_settings: JSON.stringify(settings) })
    .where('id', '=', poolId)
    .execute();
}
