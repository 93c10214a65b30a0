import { isIP } from 'node:net';
import type { EgressPolicy } from '@slipway/core';
import { router } from './router.ts';
import { gatewayHostname } from './sandbox-network.ts';

/**
 * Configuration of a sandbox's resolver (dnsmasq, in the router). Under the policy `open` it asks the host's name
 * servers for everything. Under `allow` it asks them for the listed names alone, and puts each address that it was
 * answered into the router's sets before the sandbox has it: so a name stays reachable behind aliases and when its
 * address changes. Everything else it answers itself: such a name does not exist. No question for it leaves the host,
 * so nothing can be told to the outside in questions.
 *
 * What a name leads to opens no private address: the router's rules see to that, whatever the answer.
 */
export function resolverConfiguration(policy: EgressPolicy, nameservers: readonly string[]): string {
  return [
    ...['no-resolv', 'no-hosts', 'bind-interfaces', `listen-address=${router.address}`],
    // The root of its user namespace, who is nobody on the host.
    ...['user=root', 'group=', 'pid-file='],
    // On standard error, with the number of the question in each line.
    ...['log-facility=-', 'log-queries=extra'],
    // The host's name servers have caches; without one here, nothing is answered that the policy does not list.
    'cache-size=0',
    ...[`local=/${gatewayHostname}/`, `host-record=${gatewayHostname},${router.address}`],
    ...namesOf(policy, nameservers),
    '',
  ].join('\n');
}

function namesOf(policy: EgressPolicy, nameservers: readonly string[]): string[] {
  if (policy.mode === 'open') return nameservers.map((address) => `server=${address}`);
  // Stands for every name. No name server may be set without a name beside it: it would win.
  const nothingElse = 'address=/#/';
  return policy.mode === 'none' ? [nothingElse] : [nothingElse, ...allowedNames(policy.hosts, nameservers)];
}

/** dnsmasq takes the longest name that fits. An `address` without one says that the name does not exist. */
function allowedNames(hosts: readonly string[], nameservers: readonly string[]): string[] {
  const names = hosts
    .filter((host) => isIP(host.split('/')[0] ?? '') === 0)
    .map((host) => host.toLowerCase().replace(/\.$/, ''));
  const wildcards = names.filter((name) => name.startsWith('*.'));
  const exact = names.filter((name) => !name.startsWith('*.'));
  return [
    ...names.flatMap((name) => nameservers.map((address) => `server=/${name}/${address}`)),
    // By a name, dnsmasq means the names below as well: they are listed only by a wildcard.
    ...exact
      .filter((name) => !wildcards.some((wildcard) => `.${name}`.endsWith(wildcard.slice(1))))
      .map((name) => `address=/*.${name}/`),
    ...names.map(
      (name) => `nftset=/${name.replace(/^\*\./, '')}/4#inet#slipway#named_ipv4,6#inet#slipway#named_ipv6`,
    ),
  ];
}
