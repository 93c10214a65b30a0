import { isIP, isIPv4 } from 'node:net';

/** What one sandbox may reach, as an nftables ruleset for the output of its network namespace. */
export interface EgressPolicy {
  /** The only address at which a name server answers; nothing but port 53 is open there. IPv4. */
  readonly nameserver: string;
  /** Addresses of the host itself: refused, public or not. */
  readonly hostAddresses: readonly string[];
  /** CIDRs that may be reached although they are private: registries, git servers, proxies. */
  readonly allowedPrivateNetworks: readonly string[];
}

/** IANA's special-purpose registry, as far as it names things that are not the public internet. */
const refusedIpv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10', // carrier-grade NAT; Alibaba's metadata service lives in it
  '127.0.0.0/8',
  '169.254.0.0/16', // link-local: metadata services of AWS, Azure, Google, OpenStack
  '172.16.0.0/12',
  '192.0.0.0/24', // protocol assignments; Oracle's metadata service lives in it
  '192.168.0.0/16',
  '198.18.0.0/15', // benchmarks
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
  '168.63.129.16/32', // Azure's wire server: a public address that only a virtual machine's host answers
];

const refusedIpv6 = [
  '::/127', // unspecified and loopback
  '::ffff:0:0/96', // IPv4 in disguise
  '64:ff9b:1::/48', // local-use NAT64
  '2001::/32', // Teredo
  '2002::/16', // 6to4
  'fc00::/7', // unique local; AWS's IPv6 metadata service lives in it
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
];

/**
 * The ruleset, for `nft -f`. Refused connections are answered at once (reset, or "administratively prohibited"), so
 * that clients inside fail with a clear error instead of a timeout.
 *
 * Loopback is the namespace's own: nothing of the host listens there but the gateway, and the processes of a
 * container talk to each other over it. The host's own addresses stay refused even inside an allowed network, unless
 * one is allowed by itself (`10.1.2.3/32`).
 *
 * Throws a `RangeError` when an allowed network is not a CIDR.
 */
export function egressRules({ nameserver, hostAddresses, allowedPrivateNetworks }: EgressPolicy): string {
  const allowed = allowedPrivateNetworks.map(parseNetwork);
  const allowedAlone = new Set(allowed.map(({ address, wholeAddress }) => (wholeAddress ? address : '')));
  const ownAddresses = hostAddresses.filter((address) => !allowedAlone.has(address));
  const ofFamily = (version: 4 | 6) =>
    allowed.filter((network) => network.version === version).map(({ text }) => text);
  // NAT64 would carry a private IPv4 address out of the namespace inside a public-looking IPv6 one.
  const embedded = refusedIpv4.map(insideNat64);

  return `table inet slipway {
  ${set('host_ipv4', 'ipv4_addr', ownAddresses.filter(isIPv4))}
  ${set(
    'host_ipv6',
    'ipv6_addr',
    ownAddresses.filter((address) => !isIPv4(address)),
  )}
  ${set('allowed_ipv4', 'ipv4_addr', ofFamily(4))}
  ${set('allowed_ipv6', 'ipv6_addr', ofFamily(6))}
  ${set('refused_ipv4', 'ipv4_addr', refusedIpv4)}
  ${set('refused_ipv6', 'ipv6_addr', [...refusedIpv6, ...embedded])}
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain output {
    type filter hook output priority filter; policy drop;
    oif lo accept
    ip daddr ${nameserver} meta l4proto { tcp, udp } th dport 53 accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
    ip daddr @host_ipv4 goto refuse
    ip6 daddr @host_ipv6 goto refuse
    ip daddr @allowed_ipv4 accept
    ip6 daddr @allowed_ipv6 accept
    ip daddr @refused_ipv4 goto refuse
    ip6 daddr @refused_ipv6 goto refuse
    accept
  }
}
`;
}

/** Throws a `RangeError` when one of the networks is not a CIDR. */
export function checkNetworks(networks: readonly string[]): void {
  for (const network of networks) parseNetwork(network);
}

function set(name: string, type: 'ipv4_addr' | 'ipv6_addr', elements: readonly string[]): string {
  const list = elements.length === 0 ? '' : `elements = { ${elements.join(', ')} }; `;
  return `set ${name} { type ${type}; flags interval; auto-merge; ${list}}`;
}

function insideNat64(network: string): string {
  const [address = '', bits] = network.split('/');
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return `64:ff9b::${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}/${96 + Number(bits)}`;
}

interface Network {
  readonly text: string;
  readonly address: string;
  readonly version: 4 | 6;
  readonly wholeAddress: boolean;
}

function parseNetwork(text: string): Network {
  const [address = '', bits = ''] = text.split('/');
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  if ((version !== 4 && version !== 6) || !/^\d{1,3}$/.test(bits) || Number(bits) > longest) {
    throw new RangeError(
      `"${text}" is not a network; write an allowed private network as a CIDR, like 10.20.0.0/16`,
    );
  }
  return { text, address, version, wholeAddress: Number(bits) === longest };
}
