import { router } from './router.ts';

/** Descriptors of the keeper beside the usual three. */
export const rulesDescriptor = 3;
export const resolverConfigurationDescriptor = 4;
export const resolverLogDescriptor = 5;

/** Where the keeper, in its own mount namespace, has the network namespaces. */
export const namespacePaths = { router: '/tmp/router', sandbox: '/tmp/sandbox' } as const;

export interface KeeperScriptOptions {
  /** Whether the host has IPv6. */
  readonly ipv6: boolean;
  /** The name server of the host, where it is on the host's loopback: pasta finds it in the file of the C library. */
  readonly nameserverOnLoopback: string | undefined;
}

/**
 * The first process of a PID namespace of its own, so that whatever ends it ends all that serves the network: the
 * runner's death (its standard input closes; `setpriv --pdeathsig` besides) or `destroy`. The network namespaces are
 * known by mounts in the process's private mount namespace only; nothing of them has a name on the host.
 *
 * When the sandbox is connected to the router, which leads nowhere, `ready` is told. Then it waits for rules: they stand
 * before the router is connected to the outside. `pasta` and `dnsmasq` go to the background once they serve, and `open`
 * is told.
 */
export function keeperScript({ ipv6, nameserverOnLoopback }: KeeperScriptOptions): string {
  const { sandboxInterface: sandbox } = router;
  const onlyWithIpv6 = (...commands: string[]) => (ipv6 ? commands : []);
  const inSandbox = [
    'link set lo up',
    `link add eth0 mtu ${router.mtu} type veth peer name ${sandbox} mtu ${router.mtu} netns ${namespacePaths.router}`,
    `address add ${router.sandboxAddress}/${router.prefixLength} dev eth0`,
    'link set eth0 addrgenmode none up',
    `route add default via ${router.address}`,
    ...onlyWithIpv6(
      `address add ${router.sandboxAddressIpv6}/${router.prefixLengthIpv6} dev eth0 nodad`,
      `route add default via ${router.addressIpv6}`,
    ),
  ];
  const inRouter = [
    `address add ${router.address}/${router.prefixLength} dev ${sandbox}`,
    ...onlyWithIpv6(`address add ${router.addressIpv6}/${router.prefixLengthIpv6} dev ${sandbox} nodad`),
    `link set ${sandbox} addrgenmode none up`,
  ];
  return `
set -eu
read -r process _ < /proc/self/stat
mount -t tmpfs -o size=64k,mode=700 tmpfs /tmp
: > ${namespacePaths.router}
: > ${namespacePaths.sandbox}
${
  nameserverOnLoopback === undefined
    ? ''
    : `echo "nameserver ${nameserverOnLoopback}" > /tmp/resolv.conf
mount --bind /tmp/resolv.conf /etc/resolv.conf`
}
unshare --net sh -euc '
  mount --bind /proc/self/ns/net ${namespacePaths.router}
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  unshare --net sh -euc "
    mount --bind /proc/self/ns/net ${namespacePaths.sandbox}
    echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
    exec ip -batch -
  " << COMMANDS
${inSandbox.join('\n')}
COMMANDS
  ip -batch - << COMMANDS
${inRouter.join('\n')}
COMMANDS
  echo connected
  cat <&${rulesDescriptor} | nft -f -
  echo filtered
  setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+net_admin,+net_bind_service \\
    dnsmasq --conf-file=- <&${resolverConfigurationDescriptor} 2>&${resolverLogDescriptor}
  echo serving
' | {
  read -r connected
  echo "ready $process"
  read -r filtered
  pasta --netns ${namespacePaths.router} --netns-only ${pastaArguments({ ipv6, nameserverOnLoopback }).join(' ')}
  read -r serving
}
echo open
exec cat
`;
}

/** The router's way out, and none in. */
function pastaArguments({ ipv6, nameserverOnLoopback }: KeeperScriptOptions): string[] {
  return [
    ...['--quiet', '--config-net', '--no-dhcp', '--no-dhcpv6', '--ns-ifname', router.outsideInterface],
    ...['--address', router.outsideAddress, '--netmask', router.outsideNetmask],
    ...['--gateway', router.hostLoopback],
    ...(ipv6
      ? ['--address', router.outsideAddressIpv6, '--gateway', router.hostLoopbackIpv6]
      : ['--ipv4-only']),
    ...(nameserverOnLoopback === undefined ? [] : ['--dns-forward', router.hostLoopback]),
    ...['--tcp-ports', 'none', '--udp-ports', 'none', '--tcp-ns', 'none', '--udp-ns', 'none'],
  ];
}
