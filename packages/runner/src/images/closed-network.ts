import { lookup } from 'node:dns/promises';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createOpenNetwork } from '../network/pasta-network.ts';
import type { SandboxNetwork } from '../network/sandbox-network.ts';
import { memberOf, privateNetworks } from '../network/special-networks.ts';
import { ImageUnavailableError } from './image-unavailable.ts';
import type { PullNetwork, PullWay } from './pull-network.ts';

export interface ClosedNetworkOptions {
  /** Registries (`host` or `host:port`, as references name them) that are asked from the host's own network. */
  readonly openRegistries: readonly string[];
  /** Private networks (CIDR) that runs may reach, and so may pulls. */
  readonly allowedPrivateNetworks: readonly string[];
  /** Where the file lies that names the network's resolver; it may be any that nobody else writes. */
  readonly resolverFile: string;
}

/** A network that nobody used for so long is given up; making one takes a tenth of a second. */
const idleMilliseconds = 30_000;

/** The network's own name server, for a command that reads /etc/resolv.conf. */
const withResolver = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"';

/**
 * The network of pulls of references that somebody else wrote: as the networks of runs, it leads to public addresses,
 * and to neither the host nor metadata services nor private networks, unless they are allowed. Whatever a registry says
 * (a redirect, the address of its token service) is followed within it.
 */
export function createClosedNetwork(options: ClosedNetworkOptions): PullNetwork {
  return new ClosedNetwork(options);
}

class ClosedNetwork implements PullNetwork {
  readonly #options: ClosedNetworkOptions;
  #network: Promise<SandboxNetwork> | undefined;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: ClosedNetworkOptions) {
    this.#options = options;
  }

  async to(reference: string, registry: string): Promise<PullWay> {
    const { openRegistries, resolverFile } = this.#options;
    if (openRegistries.includes(registry)) {
      return { enter: [], isClosed: false, [Symbol.asyncDispose]: async () => {} };
    }
    await this.#explainPrivate(reference, registry);
    clearTimeout(this.#idle);
    this.#users += 1;
    try {
      this.#network ??= this.#make();
      const { enter } = await this.#network;
      const resolving = ['unshare', '--mount', 'sh', '-euc', withResolver, 'slipway-pull', resolverFile];
      return {
        enter: [...enter, ...resolving],
        isClosed: true,
        [Symbol.asyncDispose]: async () => this.#leave(),
      };
    } catch (error) {
      this.#network = undefined;
      this.#leave();
      throw error;
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const network = this.#network;
    this.#network = undefined;
    await (await network?.catch(() => undefined))?.destroy();
  }

  async #make(): Promise<SandboxNetwork> {
    const { allowedPrivateNetworks, resolverFile } = this.#options;
    const network = await createOpenNetwork({ allowedPrivateNetworks });
    await mkdir(dirname(resolverFile), { recursive: true });
    await writeFile(resolverFile, `nameserver ${network.nameserver}\n`);
    return network;
  }

  #leave(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#idle = setTimeout(() => void this.close(), idleMilliseconds);
    this.#idle.unref();
  }

  /** The network refuses private addresses anyway; this is to say so before, and what to do. */
  async #explainPrivate(reference: string, registry: string): Promise<void> {
    const host = registry.replace(/:\d+$/, '');
    const addresses = await lookup(host, { all: true }).catch(() => []);
    const isPrivate = memberOf([...privateNetworks[4], ...privateNetworks[6]]);
    const isAllowed = memberOf(this.#options.allowedPrivateNetworks);
    const [first] = addresses;
    if (!first || addresses.some(({ address }) => !isPrivate(address) || isAllowed(address))) return;
    throw new ImageUnavailableError(
      reference,
      `its registry ${registry} is at the private address ${first.address}, where pulls do not go; ` +
        `allow it with --allow-private-registries ${registry} when the runner is started.`,
    );
  }
}
