import { isIP, isIPv4 } from 'node:net';

/** Where systemd-resolved lists the real name servers; `/etc/resolv.conf` then only names its stub on loopback. */
const upstreamResolvConf = '/run/systemd/resolve/resolv.conf';
/** As many as the C library asks. */
const maximumNameservers = 3;

/**
 * The name servers that sandboxes' questions go to: the host's own. Those on its loopback count only where there are no
 * others, and then the first of them. Empty when the host has none. `read` gives a file's text, or null when it does
 * not exist.
 */
export function hostNameservers(read: (path: string) => string | null): string[] {
  const candidates = ['/etc/resolv.conf', upstreamResolvConf].flatMap((path) =>
    nameservers(read(path) ?? ''),
  );
  const elsewhere = [...new Set(candidates.filter((address) => !isLoopback(address)))];
  return elsewhere.length > 0 ? elsewhere.slice(0, maximumNameservers) : candidates.slice(0, 1);
}

export function isLoopback(address: string): boolean {
  return isIPv4(address) ? address.startsWith('127.') : address === '::1';
}

/** Addresses with a zone (`fe80::1%eth0`) mean something on the host alone. */
function nameservers(resolvConf: string): string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1] ?? '')
    .filter((address) => isIP(address) !== 0 && !address.includes('%'));
}
