import type { Database } from '../database/database.ts';
import { forgetHeldTexts } from '../logs/index.ts';
import { forgetRunSecrets } from '../secrets/index.ts';

/** Removes all that is kept of a run's secrets, and may show one, as no more lines of it are taken. */
export async function forgetSecretsOf(tx: Database, runId: string): Promise<void> {
  await forgetRunSecrets(tx, runId);
  await forgetHeldTexts(tx, runId);
}
