import { isIP, isIPv4 } from 'node:net';

/** Where systemd-resolved lists the real name servers; `/etc/resolv.conf` then only names its stub on loopback. */
const upstreamResolvConf = '/run/systemd/resolve/resolv.conf';

/**
 * The name server that sandboxes' questions go to: the host's first one, preferring one that is not on loopback.
 * `null` when the host has none. `read` gives a file's text, or null when it does not exist.
 */
export function hostNameserver(read: (path: string) => string | null): string | null {
  const candidates = ['/etc/resolv.conf', upstreamResolvConf].flatMap((path) =>
    nameservers(read(path) ?? ''),
  );
  return candidates.find((address) => !isLoopback(address)) ?? candidates[0] ?? null;
}

export function isLoopback(address: string): boolean {
  return isIPv4(address) ? address.startsWith('127.') : address === '::1';
}

function nameservers(resolvConf: string): string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1] ?? '')
    .filter((address) => isIP(address) !== 0);
}
