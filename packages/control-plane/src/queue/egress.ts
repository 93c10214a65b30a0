import {
  type EgressContact,
  type EgressRecord,
  harmlessText,
  maskWith,
  type SecretPatterns,
} from '@slipway/core';
import { sql } from 'kysely';
import type { Database } from '../database/database.ts';

/**
 * Keeps where a run went. Names are what the run chose, so its secrets may be in them: masked like lines of its log,
 * although the runner has masked them.
 */
export async function storeEgress(
  tx: Database,
  runId: string,
  record: EgressRecord,
  secrets: SecretPatterns,
): Promise<void> {
  const hide = <T extends EgressContact>(contact: T): T => ({
    ...contact,
    hosts: contact.hosts.map((host) => harmlessText(maskWith(secrets, host))),
  });
  const masked = { ...record, contacted: record.contacted.map(hide), refused: record.refused.map(hide) };
  await sql`UPDATE runs SET egress = ${JSON.stringify(masked)} WHERE id = ${runId}`.execute(tx);
}
