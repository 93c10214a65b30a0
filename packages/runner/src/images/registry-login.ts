import type { RegistryCredentials } from '@slipway/core';
import { runCommand } from '../setup/run-command.ts';
import type { RegistryIdentity, TimedLogin } from './identity/registry-identity.ts';

/** How pulls log in. */
export interface RegistryLogins {
  /** The login at a registry; null as the host's own tools log in, or not at all. */
  loginAt(registry: string, ofRun: RegistryCredentials | null): Promise<RegistryCredentials | null>;
  /** Why there was none, where there might have been one; for the message when the registry then refuses. */
  remarkAbout(registry: string): string;
}

const identityTimeoutMilliseconds = 10_000;
/** A login is not used for a pull that may outlast it. */
const neededMilliseconds = 5 * 60_000;
/** A cloud that does not know the host will not know it in a moment either. */
const failureMilliseconds = 5 * 60_000;

/**
 * What the settings of a run say counts. Otherwise the runner's host logs in: as its authentication files and credential
 * helpers say, or else, at registries of a cloud, with the identity that the cloud gives it.
 */
export function registryLogins(
  identities: readonly RegistryIdentity[] = [],
  now: () => number = Date.now,
): RegistryLogins {
  return new HostLogins(identities, now);
}

interface Failure {
  readonly remark: string;
  readonly until: number;
}

class HostLogins implements RegistryLogins {
  readonly #identities: readonly RegistryIdentity[];
  readonly #now: () => number;
  readonly #logins = new Map<string, TimedLogin>();
  readonly #failures = new Map<string, Failure>();

  constructor(identities: readonly RegistryIdentity[], now: () => number) {
    this.#identities = identities;
    this.#now = now;
  }

  async loginAt(registry: string, ofRun: RegistryCredentials | null): Promise<RegistryCredentials | null> {
    if (ofRun) return ofRun;
    const identity = this.#identities.find((each) => each.serves(registry));
    if (!identity || (this.#failures.get(registry)?.until ?? 0) > this.#now()) return null;
    const known = this.#logins.get(registry);
    if (known && known.expiresAt > this.#now() + neededMilliseconds) return known;
    if (await hostIsLoggedIn(registry)) return null;
    return this.#logIn(identity, registry);
  }

  remarkAbout(registry: string): string {
    return this.#failures.get(registry)?.remark ?? '';
  }

  async #logIn(identity: RegistryIdentity, registry: string): Promise<RegistryCredentials | null> {
    try {
      const login = await identity.logIn(registry, AbortSignal.timeout(identityTimeoutMilliseconds));
      this.#logins.set(registry, login);
      this.#failures.delete(registry);
      return login;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failures.set(registry, {
        remark: ` ${identity.cloud} gives the runner's host no identity to log in with: ${reason.slice(0, 300)}.`,
        until: this.#now() + failureMilliseconds,
      });
      return null;
    }
  }
}

/** Whether an authentication file or credential helper of the host knows the registry. */
async function hostIsLoggedIn(registry: string): Promise<boolean> {
  return runCommand(['skopeo', 'login', '--get-login', registry]).then(
    () => true,
    () => false,
  );
}
