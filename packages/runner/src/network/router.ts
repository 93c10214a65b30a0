/**
 * What stands between a sandbox and the world: a network namespace of its own, the router. The sandbox is connected to
 * it and to nothing else, so what is decided here holds whatever a sandbox does to its own side: raw packets, other
 * protocols, other addresses. In the router are nobody's processes but the sandbox's resolver.
 *
 *     sandbox ──"sandbox"── router ──"outside"── pasta, a process of the host's network
 */
export const router = {
  sandboxInterface: 'sandbox',
  outsideInterface: 'outside',
  /**
   * The router as the sandbox sees it: resolver on port 53, gateway on port 80. RFC 7335 keeps these addresses for the
   * inside of translators, so they collide with no network that a run may want to reach.
   */
  address: '192.0.0.1',
  sandboxAddress: '192.0.0.2',
  prefixLength: 30,
  addressIpv6: 'fd53:4c49:5057::1',
  sandboxAddressIpv6: 'fd53:4c49:5057::2',
  prefixLengthIpv6: 64,
  /** The router as pasta sees it. */
  outsideAddress: '169.254.1.2',
  outsideNetmask: '255.255.255.0',
  outsideAddressIpv6: 'fd53:4c49:5057:1::2',
  /** Pasta's own address: the loopback of the host answers there. */
  hostLoopback: '169.254.1.1',
  hostLoopbackIpv6: 'fe80::1',
  gatewayPort: 80,
  /** As large as pasta's: fewer packets. */
  mtu: 65_520,
} as const;
