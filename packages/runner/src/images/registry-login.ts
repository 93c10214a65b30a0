import type { RegistryCredentials } from '@slipway/core';

/** How a pull logs in. */
export interface RegistryLogins {
  /** The login at a registry; null as the host's own tools log in, or not at all. */
  loginAt(registry: string, ofRun: RegistryCredentials | null): Promise<RegistryCredentials | null>;
}

/** What the settings of the run say counts; otherwise the runner's host logs in as its own tools do. */
export const settingsThenHost: RegistryLogins = { loginAt: async (_registry, ofRun) => ofRun };
