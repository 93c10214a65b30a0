/**
 * The network of one sandbox: a network namespace of its own on the host. Out of it, public addresses can be reached
 * and the gateway; nothing of the host, no link-local and no private address.
 */
export interface SandboxNetwork {
  /**
   * Puts a command into the namespace: `[...enter, 'qemu-system-x86_64', …]`. File descriptors pass through.
   */
  readonly enter: readonly string[];
  /** Path of the network namespace, for an OCI runtime. */
  readonly namespacePath: string;
  /** TCP port on 127.0.0.1 of the namespace at which the gateway listens (80). */
  readonly gatewayPort: number;
  /** Name server that answers inside the namespace. */
  readonly nameserver: string;
  /** Ends the namespace and every process that served it. */
  destroy(): Promise<void>;
}

/** The name under which the control plane is known inside every sandbox. */
export const gatewayHostname = 'slipway.internal';
export const gatewayUrl = `http://${gatewayHostname}`;
