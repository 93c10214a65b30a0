import {
  type EgressContact,
  type EgressRecord,
  type EgressRefusal,
  maximumListedContacts,
  type RefusalReason,
} from '@slipway/core';
import * as z from 'zod';
import { type ContactKind, expirySeconds, setsOf, unlistedCounterOf } from './contact-rules.ts';
import type { ResolverLog } from './resolver-log.ts';
import { insideNat64, memberOf, metadataAddresses, privateNetworks } from './special-networks.ts';

/** What has to be asked of `nft` in the router for `egressRecordOf`. */
export const contactQuery = ['--json', 'list', 'table', 'inet', 'slipway'];

const counter = z.object({ packets: z.number() });
const place = z.object({
  elem: z.object({
    val: z.object({
      concat: z.tuple([z.string(), z.union([z.string(), z.number()])]).rest(z.number()),
    }),
    counter,
    /** Seconds. */
    expires: z.number(),
  }),
});
/** https://manpages.debian.org/libnftables-json(5): a table is told as all that is in it. */
const answer = z.object({ nftables: z.array(z.looseObject({})) });
const countingSet = z.object({ set: z.object({ name: z.string(), elem: z.array(place).default([]) }) });
const namedCounter = z.object({ counter: counter.extend({ name: z.string() }) });

export interface RecordSources {
  /** Answer of `nft` to `contactQuery`. */
  readonly counted: string;
  readonly resolverLog: ResolverLog;
  readonly hostAddresses: readonly string[];
  readonly allowedPrivateNetworks: readonly string[];
  /** Now. */
  readonly now: Date;
}

/** What a sandbox reached and what it was refused, from what the router counted and the resolver was asked. */
export function egressRecordOf(sources: RecordSources): EgressRecord {
  const { counted, resolverLog, now } = sources;
  const { nftables: entries } = answer.parse(JSON.parse(counted));
  const contacts = (kind: ContactKind) => contactsOf(entries, kind, resolverLog, now);
  const reasonOf = reasons(sources);
  const refused: EgressRefusal[] = contacts('refused').map((contact) => ({
    ...contact,
    reason: reasonOf(contact),
  }));
  for (const [name, { count, lastAt }] of resolverLog.refusedNames) {
    refused.push({
      ...{ hosts: [name], address: null, port: null, protocol: 'dns', reason: 'policy' },
      ...{ count, lastAt: lastAt.toISOString() },
    });
  }
  const [listedContacts, otherContacts] = mostFrequent(contacts('contacted'));
  const [listedRefusals, otherRefusals] = mostFrequent(refused);
  return {
    contacted: listedContacts,
    refused: listedRefusals,
    unlisted: {
      contacted: otherContacts + unlistedOf(entries, 'contacted'),
      refused: otherRefusals + unlistedOf(entries, 'refused') + resolverLog.unlistedRefusals,
    },
  };
}

function contactsOf(
  entries: readonly object[],
  kind: ContactKind,
  resolverLog: ResolverLog,
  now: Date,
): EgressContact[] {
  const names = setsOf(kind);
  return entries.flatMap((entry) => {
    const { data } = countingSet.safeParse(entry);
    if (!data || !names.includes(data.set.name)) return [];
    return data.set.elem.flatMap((element) => contactOf(element, resolverLog, now));
  });
}

function unlistedOf(entries: readonly object[], kind: ContactKind): number {
  const counters = entries.flatMap((entry) => namedCounter.safeParse(entry).data ?? []);
  return counters.find((entry) => entry.counter.name === unlistedCounterOf(kind))?.counter.packets ?? 0;
}

/** An element that was made and not yet counted says nothing. */
function contactOf(
  { elem: { val, counter, expires } }: z.infer<typeof place>,
  resolverLog: ResolverLog,
  now: Date,
): EgressContact[] {
  const [address, protocol, port = null] = val.concat;
  if (counter.packets === 0) return [];
  const lastAt = new Date(now.getTime() - (expirySeconds - expires) * 1000);
  return [
    {
      ...{ hosts: [...resolverLog.hostsOf(address)], address, port, protocol: protocolName(protocol) },
      ...{ count: counter.packets, lastAt: lastAt.toISOString() },
    },
  ];
}

function protocolName(protocol: string | number): string {
  return protocol === 'ipv6-icmp' ? 'icmp' : String(protocol);
}

/** Why the rules refused a contact: they count refusals without their reason, which follows from the contact. */
function reasons({
  hostAddresses,
  allowedPrivateNetworks,
}: RecordSources): (contact: EgressContact) => RefusalReason {
  const isHost = memberOf(hostAddresses);
  const isAllowed = memberOf(allowedPrivateNetworks);

  const isMetadata = memberOf([
    ...metadataAddresses[4],
    ...metadataAddresses[6],
    ...metadataAddresses[4].map(insideNat64),
  ]);
  const isPrivate = memberOf([
    ...privateNetworks[4],
    ...privateNetworks[6],
    ...privateNetworks[4].map(insideNat64),
  ]);
  return ({ address, protocol }) => {
    if (!['tcp', 'udp', 'icmp'].includes(protocol)) return 'protocol';
    if (address === null) return 'policy';
    if (isMetadata(address)) return 'metadata';
    const mayBePrivate = isAllowed(address) && !isHost(address);
    return mayBePrivate || !(isHost(address) || isPrivate(address)) ? 'policy' : 'private';
  };
}

/** The contacts that are listed, and how many connections the others had. */
function mostFrequent<T extends EgressContact>(contacts: readonly T[]): [listed: T[], others: number] {
  const sorted = contacts.toSorted((a, b) => b.count - a.count);
  const others = sorted.splice(maximumListedContacts).reduce((sum, { count }) => sum + count, 0);
  return [sorted, others];
}
