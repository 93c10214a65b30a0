import type { EgressPolicy, EgressRecord } from '@slipway/core';

/**
 * The network of one sandbox: a network namespace of its own on the host. Out of it nothing can be reached until it is
 * opened, and then what the egress policy allows and the gateway; nothing of the host, no link-local and no private
 * address.
 */
export interface SandboxNetwork {
  /**
   * Puts a command into the namespace: `[...enter, 'qemu-system-x86_64', …]`. File descriptors pass through.
   */
  readonly enter: readonly string[];
  /** So many user ids, from 1 on, can a process that has entered take besides root's. 0 for root, who takes any. */
  readonly furtherUserIds: number;
  /** Path of the network namespace, for an OCI runtime. */
  readonly namespacePath: string;
  /** Where the gateway listens, on port 80, as seen from inside. */
  readonly gatewayAddress: string;
  /** Name server that answers inside the namespace. */
  readonly nameserver: string;
  /** From now on it leads where `policy` says. Once: a network is one run's. */
  open(policy: EgressPolicy): Promise<void>;
  /** Where the sandbox went until now, and where it was not let. Rejects once the network is destroyed. */
  egress(): Promise<EgressRecord>;
  /** Ends the namespace and every process that served it. */
  destroy(): Promise<void>;
}

/** The name under which the control plane is known inside every sandbox. */
export const gatewayHostname = 'slipway.internal';
export const gatewayUrl = `http://${gatewayHostname}`;
