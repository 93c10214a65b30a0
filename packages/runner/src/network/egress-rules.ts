import { isIP, isIPv4 } from 'node:net';
import type { EgressPolicy } from '@slipway/core';
import { contactChains, contactSets, unlistedCounterOf } from './contact-rules.ts';
import { router } from './router.ts';
import { insideNat64, metadataAddresses, privateNetworks } from './special-networks.ts';

/** What decides where one sandbox may go. */
export interface EgressLimits {
  readonly policy: EgressPolicy;
  /** Where the sandbox's resolver asks. Nobody else may reach these by this alone. */
  readonly nameservers: readonly string[];
  /** Addresses of the host itself: refused, public or not. */
  readonly hostAddresses: readonly string[];
  /** CIDRs that may be reached although they are private, as far as the policy goes: registries, git servers. */
  readonly allowedPrivateNetworks: readonly string[];
  /** TCP port on the host's 127.0.0.1 at which the sandbox's gateway listens; undefined where there is none. */
  readonly gatewayHostPort: number | undefined;
}

/** Addresses that names of the policy led to, each kept for the whole run: more are not let through. */
const maximumNamedAddresses = 16_384;
/** Far above what a run needs; below what its neighbours would notice. */
const limits = {
  newConnections: '500/second burst 2000 packets',
  openConnections: 8192,
  questions: '500/second burst 1000 packets',
  questionBytes: '256 kbytes/second burst 512 kbytes',
} as const;

const { sandboxInterface: sandbox, outsideInterface: outside } = router;

function toGateway(hostPort: number): string {
  const asked = `iifname ${sandbox} ip daddr ${router.address} tcp dport ${router.gatewayPort}`;
  return `${asked} dnat ip to ${router.hostLoopback}:${hostPort}`;
}

/**
 * The rules of a sandbox's router, for `nft -f`. Refused connections are answered at once (reset, or "administratively
 * prohibited"), so that clients inside fail with a clear error instead of a timeout, and each is counted, as is each
 * that was let through (contact-rules.ts).
 *
 * The order is what matters: metadata services and the host's own addresses are refused before anything is allowed,
 * unless an address of the host is allowed by itself (`10.1.2.3/32`); private networks before the policy is asked, so
 * that no name and no entry of a policy opens one.
 *
 * Throws a `RangeError` when an allowed network is not a CIDR.
 */
export function egressRules({
  policy,
  nameservers,
  hostAddresses,
  allowedPrivateNetworks,
  gatewayHostPort,
}: EgressLimits): string {
  const allowedPrivate = allowedPrivateNetworks.map(parseNetwork);
  const allowedAlone = new Set(allowedPrivate.map(({ address, alone }) => (alone ? address : '')));
  const own = hostAddresses.filter((address) => !allowedAlone.has(address));
  const listed =
    policy.mode === 'allow' ? policy.hosts.filter((host) => isIP(host.split('/')[0] ?? '') !== 0) : [];
  return `table inet slipway {
  ${bothSets('metadata', [...metadataAddresses[4], ...metadataAddresses[6], ...metadataAddresses[4].map(insideNat64)])}
  ${bothSets('host', own)}
  ${bothSets(
    'allowed_private',
    allowedPrivate.map(({ text }) => text),
  )}
  ${bothSets('private', [...privateNetworks[4], ...privateNetworks[6], ...privateNetworks[4].map(insideNat64)])}
  ${bothSets('listed', listed)}
  set named_ipv4 { type ipv4_addr; size ${maximumNamedAddresses}; }
  set named_ipv6 { type ipv6_addr; size ${maximumNamedAddresses}; }
  ${contactSets}
  chain gateway {
    type nat hook prerouting priority dstnat;
    ${gatewayHostPort === undefined ? '' : toGateway(gatewayHostPort)}
  }
  chain leave {
    type nat hook postrouting priority srcnat;
    oifname ${outside} masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state { established, related } accept
    iifname != ${sandbox} drop
    ip saddr != ${router.sandboxAddress} drop
    ip6 saddr != ${router.sandboxAddressIpv6} drop
    meta l4proto != { tcp, udp, icmp, ipv6-icmp } goto refuse
    ct state invalid drop
    ct status dnat accept
    limit rate over ${limits.newConnections} counter name ${unlistedCounterOf('refused')} drop
    ip daddr @metadata_ipv4 goto refuse
    ip6 daddr @metadata_ipv6 goto refuse
    ip daddr @host_ipv4 goto refuse
    ip6 daddr @host_ipv6 goto refuse
    ip daddr @allowed_private_ipv4 goto public
    ip6 daddr @allowed_private_ipv6 goto public
    ip daddr @private_ipv4 goto refuse
    ip6 daddr @private_ipv6 goto refuse
    goto public
  }
  chain public {
    ${policyRules[policy.mode]}
  }
  ${contactChains(`ct count over ${limits.openConnections} counter name ${unlistedCounterOf('refused')} drop`)}
  chain input {
    type filter hook input priority filter; policy drop;
    iifname ${sandbox} meta l4proto { tcp, udp } th dport 53 limit rate over ${limits.questions} drop
    iifname ${sandbox} meta l4proto { tcp, udp } th dport 53 limit rate over ${limits.questionBytes} drop
    ct state { established, related } accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname != ${sandbox} drop
    ip saddr != ${router.sandboxAddress} drop
    ip6 saddr != ${router.sandboxAddressIpv6} drop
    ip daddr ${router.address} meta l4proto { tcp, udp } th dport 53 accept
    meta pkttype host goto refuse
  }
  chain output {
    type filter hook output priority filter; policy drop;
    oifname ${sandbox} accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ${nameservers
      .map(
        (address) =>
          `${isIPv4(address) ? 'ip' : 'ip6'} daddr ${address} meta l4proto { tcp, udp } th dport 53 accept`,
      )
      .join('\n    ')}
  }
}
`;
}

const policyRules: Record<EgressPolicy['mode'], string> = {
  open: 'goto pass',
  allow: `ip daddr @listed_ipv4 goto pass
    ip6 daddr @listed_ipv6 goto pass
    ip daddr @named_ipv4 goto pass
    ip6 daddr @named_ipv6 goto pass
    goto refuse`,
  none: 'goto refuse',
};

/** Throws a `RangeError` when one of the networks is not a CIDR. */
export function checkNetworks(networks: readonly string[]): void {
  for (const network of networks) parseNetwork(network);
}

/** A set for each version of IP, `<name>_ipv4` and `<name>_ipv6`, out of addresses and networks of both. */
function bothSets(name: string, members: readonly string[]): string {
  const isVersion4 = (member: string) => isIPv4(member.split('/')[0] ?? '');
  return [
    intervalSet(`${name}_ipv4`, 'ipv4_addr', members.filter(isVersion4)),
    intervalSet(
      `${name}_ipv6`,
      'ipv6_addr',
      members.filter((member) => !isVersion4(member)),
    ),
  ].join('\n  ');
}

function intervalSet(name: string, type: 'ipv4_addr' | 'ipv6_addr', elements: readonly string[]): string {
  const list = elements.length === 0 ? '' : `elements = { ${elements.join(', ')} }; `;
  return `set ${name} { type ${type}; flags interval; auto-merge; ${list}}`;
}

interface Network {
  readonly text: string;
  readonly address: string;
  /** A network of one address. */
  readonly alone: boolean;
}

function parseNetwork(text: string): Network {
  const [address = '', bits = ''] = text.split('/');
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  if (version === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > longest) {
    throw new RangeError(
      `"${text}" is not a network; write an allowed private network as a CIDR, like 10.20.0.0/16`,
    );
  }
  return { text, address, alone: Number(bits) === longest };
}
