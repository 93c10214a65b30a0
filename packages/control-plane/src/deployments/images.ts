import { openedSettings, type WantedImage } from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import type { PoolRecord } from '../pools/index.ts';
import { DeploymentSecrets } from './sealing.ts';

interface NamedImage {
  readonly stackId: string;
  /** JSON text (`executorImage` of the stored settings). */
  readonly image: string;
}

/** The executor images that the settings of a pool's stacks name, each with its login, and each once. */
export async function imagesOfPool(
  { db, masterKey, log }: Pick<ControlPlane, 'db' | 'masterKey' | 'log'>,
  pool: PoolRecord,
): Promise<readonly WantedImage[]> {
  // Asked when settings were saved and when a runner starts, so it may read them all; most name no image.
  const { rows } = await sql<NamedImage>`
    SELECT d.stack_id AS "stackId", (d.settings::json #> '{executorContext,executorImage}')::text AS image
    FROM deployment_settings d
    JOIN stacks s ON s.id = d.stack_id JOIN projects p ON p.id = s.project_id
    JOIN pools ON pools.id = ${pool.id} AND pools.organization_id = p.organization_id
    WHERE d.settings LIKE '%"executorImage":{%' AND d.settings::json #> '{executorContext,executorImage}' IS NOT NULL
      AND CASE WHEN pools.is_default THEN coalesce(d.settings::json ->> 'agentPoolID', '') IN ('', pools.id::text)
          ELSE d.settings::json ->> 'agentPoolID' = pools.id::text END
    ORDER BY d.stack_id`.execute(db);
  const images = new Map<string, WantedImage>();
  for (const { stackId, image } of rows) {
    try {
      const wanted = opened(JSON.parse(image), new DeploymentSecrets(masterKey, stackId));
      if (wanted) images.set(JSON.stringify(wanted), wanted);
    } catch (error) {
      // Of one stack alone; the images of the others are prepared all the same.
      log.warn({ err: error, stackId }, 'The login of an executor image cannot be opened');
    }
  }
  return [...images.values()];
}

function opened(executorImage: unknown, { open }: DeploymentSecrets): WantedImage | undefined {
  const { settings } = openedSettings({ executorContext: { executorImage } }, open);
  const image = settings.executorContext?.executorImage;
  return image ? { reference: image.reference, credentials: image.credentials ?? null } : undefined;
}
