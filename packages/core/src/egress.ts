import * as z from 'zod';

/**
 * Why a connection was refused.
 * - `policy`: the run's egress policy does not list it.
 * - `private`: an address of the runner's host or of a private network that the runner does not allow.
 * - `metadata`: a metadata service of a cloud; never reachable.
 * - `protocol`: neither TCP, UDP nor ICMP.
 */
export const refusalReason = z.enum(['policy', 'private', 'metadata', 'protocol']);
export type RefusalReason = z.infer<typeof refusalReason>;

/** Names known to lead to one address that are kept: many may share it. */
export const maximumHostsPerContact = 4;

/** Where a run went: one address, port and protocol. */
export const egressContact = z.object({
  /** The names that the run looked up and was answered this address for, the newest first. Empty where it used the address itself. */
  hosts: z.array(z.string().max(255)).max(maximumHostsPerContact),
  /** Null when already the look-up of the name was refused. */
  address: z.string().max(64).nullable(),
  /** Null where the protocol knows none, or it never came to that. */
  port: z.number().int().min(0).max(65_535).nullable(),
  /** `tcp`, `udp`, `icmp`, …; `dns` when the look-up of the name was refused. */
  protocol: z.string().max(32),
  /** Connections (datagrams, look-ups), refused ones tried again included. */
  count: z.number().int().min(1),
  /** When it was last tried, by the runner's clock, give or take a second. */
  lastAt: z.iso.datetime(),
});
export type EgressContact = z.infer<typeof egressContact>;

export const egressRefusal = egressContact.extend({ reason: refusalReason });
export type EgressRefusal = z.infer<typeof egressRefusal>;

/** Of each list; a run that goes to more places has the rest counted and not named. */
export const maximumListedContacts = 1000;

/** Where a run went outside of its sandbox and where it was not let, the gateway apart. The most frequent first. */
export const egressRecord = z.object({
  contacted: z.array(egressContact).max(maximumListedContacts),
  refused: z.array(egressRefusal).max(maximumListedContacts),
  /** Connections to further places. */
  unlisted: z.object({ contacted: z.number().int().min(0), refused: z.number().int().min(0) }),
});
export type EgressRecord = z.infer<typeof egressRecord>;

const placesInSentence = 5;

/** One line for the log of a run: what was refused, and how it could be allowed. Undefined when nothing was. */
export function describeRefusals({
  refused,
  unlisted,
}: Pick<EgressRecord, 'refused' | 'unlisted'>): string | undefined {
  if (refused.length === 0 && unlisted.refused === 0) return undefined;
  const named = refused
    .slice(0, placesInSentence)
    .map((refusal) => `${placeOf(refusal)} (${times(refusal.count)})`);
  const others = refused.length - named.length;
  const more = unlisted.refused > 0 ? ' and more' : others > 0 ? ` and ${others} more` : '';
  return [`Egress refused: ${named.join(', ')}${more}.`, ...remediesOf(refused)].join(' ');
}

/** The one name that a user knows a place by: host and port, as far as there are. */
export function placeOf({ hosts, address, port, protocol }: EgressContact): string {
  const host = hosts[0] ?? (address?.includes(':') ? `[${address}]` : address) ?? 'unknown host';
  const suffix = protocol === 'tcp' || protocol === 'dns' ? '' : `/${protocol}`;
  return `${host}${port === null ? '' : `:${port}`}${suffix}`;
}

/** What to do about refusals, a sentence for each of their reasons. */
export function remediesOf(refused: readonly EgressRefusal[]): string[] {
  return [...new Set(refused.map(({ reason }) => reason))].map((reason) => remedies[reason]);
}

const remedies: Record<RefusalReason, string> = {
  policy: 'Allow it with "egress" in the sandbox settings of the stack, as far as its pool does.',
  private: 'Private addresses are allowed by the runner, with `--allow-private-networks`.',
  metadata: 'Metadata services of clouds are never reachable.',
  protocol: 'Only TCP, UDP and ping leave a sandbox.',
};

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}
