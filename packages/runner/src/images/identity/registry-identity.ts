import type { RegistryCredentials } from '@slipway/core';

/**
 * A way to log in to the registries of one cloud with who somebody is, in place of a password that is kept. Whose
 * identity it is, is decided where one is made: today that of the runner's host, one day that of a run.
 */
export interface RegistryIdentity {
  /** For messages: "the identity that AWS gives this host". */
  readonly cloud: string;
  /** Whether a registry (`host` or `host:port`) is one of this cloud. */
  serves(registry: string): boolean;
  /** Throws when there is no such identity, or the cloud does not let it in. */
  logIn(registry: string, signal: AbortSignal): Promise<TimedLogin>;
}

export interface TimedLogin extends RegistryCredentials {
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}
