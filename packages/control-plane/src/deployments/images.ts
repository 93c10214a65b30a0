import { createHmac } from 'node:crypto';
import { openedSettings, type WantedImage } from '@slipway/core';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import { conflict } from '../http/errors.ts';
import type { PoolRecord } from '../pools/index.ts';
import { AuthenticationFailed } from '../secrets/index.ts';
import { DeploymentSecrets } from './sealing.ts';
import { findSettings } from './settings.ts';

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
      const wanted = opened(masterKey, stackId, JSON.parse(image));
      if (wanted) images.set(wanted.id, wanted);
    } catch (error) {
      // Of one stack alone; the images of the others are prepared all the same.
      log.warn({ err: error, stackId }, 'The login of an executor image cannot be opened');
    }
  }
  return [...images.values()];
}

/** The executor image that the settings of a stack name; undefined when they name none. Throws 409 where its login is damaged. */
export async function imageOfStack(
  { db, masterKey }: Pick<ControlPlane, 'db' | 'masterKey'>,
  stackId: string,
): Promise<WantedImage | undefined> {
  const revision = await findSettings(db, stackId);
  try {
    return opened(masterKey, stackId, revision?.settings.executorContext?.executorImage);
  } catch (error) {
    if (!(error instanceof AuthenticationFailed)) throw error;
    throw conflict(
      'Conflict: The login of the executor image cannot be opened, as what is stored of it was not made for this stack. Save it anew in the deployment settings.',
    );
  }
}

function opened(masterKey: Buffer, stackId: string, executorImage: unknown): WantedImage | undefined {
  const { open } = new DeploymentSecrets(masterKey, stackId);
  const { settings } = openedSettings({ executorContext: { executorImage } }, open);
  const image = settings.executorContext?.executorImage;
  if (!image) return undefined;
  const named = { reference: image.reference, credentials: image.credentials ?? null };
  const id = createHmac('sha256', masterKey)
    .update(`image\0${JSON.stringify(named)}`)
    .digest('hex');
  return { id, ...named };
}
