import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { processIdentity } from './process-identity.ts';

/**
 * What a spool's folder says about its run, beside the lines: all that it takes to deliver them when this process has
 * been killed. The delivery token opens nothing but that.
 */
const spoolRecord = z.object({
  runId: z.string(),
  serverUrl: z.string(),
  deliveryToken: z.string(),
  /** The runner that writes the spool or delivers it. */
  owner: processIdentity,
  /** The process whose end is the end of the sandbox; null as long as there is none. */
  sandbox: processIdentity.nullable(),
});
export type SpoolRecord = z.infer<typeof spoolRecord>;

const fileName = 'run.json';

/** Undefined when there is none, or none of ours. */
export function readSpoolRecord(folder: string): SpoolRecord | undefined {
  try {
    return spoolRecord.parse(JSON.parse(readFileSync(join(folder, fileName), 'utf8')));
  } catch {
    return undefined;
  }
}

/** Whoever reads it meanwhile sees the old one or the new one. */
export function writeSpoolRecord(folder: string, record: SpoolRecord): void {
  const path = join(folder, fileName);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
