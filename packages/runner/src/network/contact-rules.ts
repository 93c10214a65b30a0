/**
 * How the router counts where a sandbox went and where it was not let: in sets of the kernel that packets fill
 * themselves, an element with a counter for each address, protocol and port, whose expiry tells when it was last hit. A set has a size, so a run that tries every
 * port of every host costs no more than that; what finds no room any more is counted as one.
 */

/** Elements of each set: address, protocol and port of one version of IP. */
const maximumPlaces = 4096;
/** Time after which an element that is hit no more is forgotten: far longer than any run. */
export const expirySeconds = 24 * 24 * 60 * 60;

export const contactKinds = ['contacted', 'refused'] as const;
export type ContactKind = (typeof contactKinds)[number];

const versions = [
  { name: 'ipv4', type: 'ipv4_addr', address: 'ip daddr' },
  { name: 'ipv6', type: 'ipv6_addr', address: 'ip6 daddr' },
] as const;

/** Names of the sets of one kind. */
export function setsOf(kind: ContactKind): string[] {
  return versions.flatMap(({ name }) => [`${kind}_${name}`, `${kind}_portless_${name}`]);
}

/** Name of the counter of what found no room in the sets of its kind. */
export function unlistedCounterOf(kind: ContactKind): string {
  return `${kind}_unlisted`;
}

export const contactSets = contactKinds
  .flatMap((kind) => [
    ...versions.flatMap(({ name, type }) => [
      `set ${kind}_${name} { type ${type} . inet_proto . inet_service; size ${maximumPlaces}; flags dynamic, timeout; timeout ${expirySeconds}s; counter; }`,
      `set ${kind}_portless_${name} { type ${type} . inet_proto; size ${maximumPlaces}; flags dynamic, timeout; timeout ${expirySeconds}s; counter; }`,
    ]),
    `counter ${unlistedCounterOf(kind)} { }`,
  ])
  .join('\n  ');

/** The chains `pass` and `refuse`, where each way through the rules ends. `lastLimit` comes before a packet is let through. */
export function contactChains(lastLimit: string): string {
  return `chain pass {
    ${lastLimit}
    ${countingRules('contacted', 'accept')}
  }
  chain refuse {
    ${countingRules('refused', 'goto answer')}
  }
  chain answer {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }`;
}

function countingRules(kind: ContactKind, verdict: string): string {
  return [
    ...versions.flatMap(({ name, address }) => [
      `meta l4proto { tcp, udp, sctp, dccp } update @${kind}_${name} { ${address} . meta l4proto . th dport } ${verdict}`,
      `meta l4proto != { tcp, udp, sctp, dccp } update @${kind}_portless_${name} { ${address} . meta l4proto } ${verdict}`,
    ]),
    `counter name ${unlistedCounterOf(kind)} ${verdict}`,
  ].join('\n    ');
}
