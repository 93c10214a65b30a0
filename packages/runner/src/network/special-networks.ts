import { BlockList, isIP } from 'node:net';

/**
 * Metadata services of clouds: they hand out credentials of the host to whoever asks, and are refused also inside an
 * allowed network.
 */
export const metadataAddresses = {
  4: [
    '169.254.169.254', // AWS, Azure, Google, OpenStack, Oracle and others
    '169.254.170.2', // AWS ECS
    '169.254.170.23', // AWS EKS
    '100.100.100.200', // Alibaba
    '168.63.129.16', // Azure's wire server: a public address that only a virtual machine's host answers
    '192.0.0.192', // Oracle
  ],
  6: ['fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254'], // AWS, AWS EKS, Google
} as const;

/** IANA's special-purpose registries, as far as they name things that are not the public internet. */
export const privateNetworks = {
  4: [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10', // carrier-grade NAT
    '127.0.0.0/8',
    '169.254.0.0/16', // link-local
    '172.16.0.0/12',
    '192.0.0.0/24', // protocol assignments
    '192.168.0.0/16',
    '198.18.0.0/15', // benchmarks
    '224.0.0.0/4', // multicast
    '240.0.0.0/4', // reserved, and broadcast
  ],
  6: [
    '::/127', // unspecified and loopback
    '::ffff:0:0/96', // IPv4 in disguise
    '64:ff9b:1::/48', // local-use NAT64
    '2001::/32', // Teredo
    '2002::/16', // 6to4
    'fc00::/7', // unique local
    'fe80::/10',
    'fec0::/10',
    'ff00::/8',
  ],
} as const;

/** An IPv4 network as NAT64 carries it: behind such a translator it would be reached by an address that looks public. */
export function insideNat64(network: string): string {
  const [address = '', bits = '32'] = network.split('/');
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return `64:ff9b::${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}/${96 + Number(bits)}`;
}

/** Answers whether an address is in one of the networks (CIDRs or addresses). */
export function memberOf(networks: readonly string[]): (address: string) => boolean {
  // One for each version: a list of both takes every IPv4 address for one inside ::ffff:0:0/96.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  const versionOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4');
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    const version = versionOf(address);
    if (bits === undefined) lists[version].addAddress(address, version);
    else lists[version].addSubnet(address, Number(bits), version);
  }
  return (address) => lists[versionOf(address)].check(address, versionOf(address));
}
