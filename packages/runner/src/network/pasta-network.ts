import { execFile } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { EgressPolicy } from '@slipway/core';
import { environmentOfSystemTools } from '../setup/path-search.ts';
import { contactQuery, egressRecordOf } from './egress-record.ts';
import { egressRules } from './egress-rules.ts';
import { hostNameservers, isLoopback } from './host-nameserver.ts';
import { startKeeper } from './keeper.ts';
import { namespacePaths } from './keeper-script.ts';
import { resolverConfiguration } from './resolver-configuration.ts';
import { ResolverLog } from './resolver-log.ts';
import { router } from './router.ts';
import type { SandboxNetwork } from './sandbox-network.ts';
import { subordinateIds } from './subordinate-ids.ts';

export interface SandboxNetworkOptions {
  /** TCP port on the host's 127.0.0.1 at which the sandbox's gateway listens; absent where there is none. */
  readonly gatewayHostPort?: number;
  /** CIDRs that may be reached although they are private, as far as the policy goes: registries, git servers, proxies. */
  readonly allowedPrivateNetworks?: readonly string[];
}

const run = promisify(execFile);
const queryTimeoutMilliseconds = 5_000;
const maximumAnswerBytes = 32 * 1024 * 1024;

/** As `createSandboxNetwork`, opened for `policy`. */
export async function createOpenNetwork(
  options: SandboxNetworkOptions,
  policy: EgressPolicy = { mode: 'open' },
): Promise<SandboxNetwork> {
  const network = await createSandboxNetwork(options);
  try {
    await network.open(policy);
    return network;
  } catch (error) {
    await network.destroy();
    throw error;
  }
}

/**
 * Makes the network of one sandbox: two network namespaces inside a user namespace, so that no root is needed. One is the
 * sandbox's, the other its router: connected by `pasta` (user-mode networking), filtered by nftables, with dnsmasq as
 * the sandbox's resolver (router.ts). Until it is opened, the router is connected to the sandbox alone.
 *
 * Everything dies with the calling process, however it ends. Throws `SandboxStartError` when a tool is missing or the
 * host does not allow it; `open` throws a `RangeError` for an allowed network that is none.
 */
export async function createSandboxNetwork(options: SandboxNetworkOptions): Promise<SandboxNetwork> {
  const { gatewayHostPort, allowedPrivateNetworks = [] } = options;
  const ipv6 = ownAddresses().some((address) => address.includes(':') && !address.startsWith('fe80:'));
  const { loopback } = askedNameservers();
  const subordinate = await subordinateIds();
  const keeper = await startKeeper({
    userMapping: subordinate.mapping,
    ipv6,
    nameserverOnLoopback: loopback,
  });

  // Held open by descriptor: a path with a process id could come to mean another process's namespace.
  const open = (path: string) => openSync(`/proc/${keeper.processId}/${path}`, 'r');
  const sandbox = open(`root${namespacePaths.sandbox}`);
  const routed = open(`root${namespacePaths.router}`);
  const user = open('ns/user');
  const enter = (network: number) => enterCommand(user, network);
  let resolverLog: ResolverLog | undefined;
  let hostAddresses: readonly string[] = [];
  let destroyed: Promise<void> | undefined;

  return {
    enter: enter(sandbox),
    furtherUserIds: subordinate.count,
    namespacePath: `/proc/${process.pid}/fd/${sandbox}`,
    gatewayAddress: router.address,
    nameserver: router.address,
    async open(policy) {
      // What is true of the host now: a sandbox may have waited for its run.
      hostAddresses = ownAddresses();
      const { nameservers } = askedNameservers();
      const log = new ResolverLog({ refusesNames: policy.mode !== 'open', now: () => new Date() });
      createInterface({ input: keeper.resolverLog }).on('line', (line) => log.read(line));
      await keeper.open({
        rules: egressRules({ policy, nameservers, hostAddresses, allowedPrivateNetworks, gatewayHostPort }),
        resolverConfiguration: resolverConfiguration(policy, nameservers),
      });
      resolverLog = log;
    },
    async egress() {
      if (destroyed) throw new Error('the network is gone, and with it the record of where it led');
      if (!resolverLog) return { contacted: [], refused: [], unlisted: { contacted: 0, refused: 0 } };
      const [command = '', ...rest] = [...enter(routed), 'nft', ...contactQuery];
      const { stdout: counted } = await run(command, rest, {
        timeout: queryTimeoutMilliseconds,
        maxBuffer: maximumAnswerBytes,
        env: environmentOfSystemTools(),
      });
      return egressRecordOf({ counted, resolverLog, hostAddresses, allowedPrivateNetworks, now: new Date() });
    },
    destroy: () => {
      destroyed ??= (async () => {
        for (const descriptor of [sandbox, routed, user]) closeSync(descriptor);
        await keeper.end();
      })();
      return destroyed;
    },
  };
}

/** Whom a sandbox's resolver asks, and which of them is on the host's loopback, where pasta has to lead to it. */
function askedNameservers(): { nameservers: string[]; loopback: string | undefined } {
  const [first = '', ...others] = hostNameservers((path) =>
    existsSync(path) ? readFileSync(path, 'utf8') : null,
  );
  if (isLoopback(first)) return { nameservers: [router.hostLoopback], loopback: first };
  return { nameservers: [first, ...others].filter((address) => address !== ''), loopback: undefined };
}

/** Root enters a network namespace directly; everybody else has to become the user namespace's root first. */
function enterCommand(user: number, network: number): string[] {
  const path = (descriptor: number) => `/proc/${process.pid}/fd/${descriptor}`;
  return process.getuid?.() === 0
    ? ['nsenter', `--net=${path(network)}`, '--']
    : ['nsenter', `--user=${path(user)}`, '--preserve-credentials', `--net=${path(network)}`, '--'];
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
}
