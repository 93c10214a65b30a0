import { join } from 'node:path';
import { type EgressPolicy, egressRecord } from '@slipway/core';
import { z } from 'zod';
import { onSmallInternet } from '../src/testing/small-internet.ts';

/** What tests try out of a sandbox network on the small internet, and what came of it. */

const probe = join(import.meta.dirname, 'fixtures/egress-probe.ts');
const probed = z.object({
  outputs: z.array(z.string()),
  milliseconds: z.array(z.number()),
  record: egressRecord,
  questions: z.array(z.string()),
});

export interface Command {
  readonly where: 'sandbox' | 'host';
  readonly script: string;
}

export const inside = (script: string): Command => ({ where: 'sandbox', script });
export const onHost = (script: string): Command => ({ where: 'host', script });
/** Lets a name lead to an address. */
export const name = (address: string, host: string): Command =>
  onHost(`echo "${address} ${host}" > /mnt/names/${host}`);
/** Prints the address that the service was reached at, or why it was not. */
export const get = (host: string): Command => inside(`get http://${host}:8000/`);
export const allow = (...hosts: string[]): EgressPolicy => ({ mode: 'allow', hosts });

/** Runs the commands under a policy. Of the record, `contacts` and `refusals` hold a line for each place. */
export async function tryOut(
  egress: EgressPolicy,
  commands: readonly Command[],
  allowedPrivateNetworks: string[] = [],
) {
  const input = { egress, allowedPrivateNetworks, commands };
  const result = probed.parse(await onSmallInternet(probe, { input }));
  const refusals = result.record.refused.map(({ hosts, address, port, protocol, reason }) =>
    [hosts[0] ?? '-', address ?? '-', port ?? '-', protocol, reason].join(' '),
  );
  const contacts = result.record.contacted.map(({ hosts, address, port, protocol }) =>
    [hosts[0] ?? '-', address, port ?? '-', protocol].join(' '),
  );
  return { ...result, refusals, contacts };
}
