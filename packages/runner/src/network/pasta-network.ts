import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { SandboxStartError } from '../isolation/isolation.ts';
import { environmentOfSystemTools } from '../setup/path-search.ts';
import { egressRules } from './egress-rules.ts';
import { hostNameserver, isLoopback } from './host-nameserver.ts';
import { networkObstacle } from './host-obstacle.ts';
import type { SandboxNetwork } from './sandbox-network.ts';

export interface SandboxNetworkOptions {
  /** TCP port on the host's 127.0.0.1 at which the sandbox's gateway listens. */
  readonly gatewayHostPort: number;
  /** CIDRs that may be reached although they are private: registries, git servers, proxies. */
  readonly allowedPrivateNetworks?: readonly string[];
}

const gatewayPort = 80;
/** Inside: link-local, so that they collide with no network that the sandbox may want to reach. */
const ownAddress = '169.254.1.2';
const routerAndNameserver = '169.254.1.1';
const startDeadlineMilliseconds = 10_000;
const endDeadlineMilliseconds = 2_000;
const keptErrorCharacters = 4096;

/**
 * The first process of a PID namespace of its own, so that whatever ends it ends all that serves the network: the
 * runner's death (its standard input closes; `setpriv --pdeathsig` besides) or `destroy`. The network namespace is
 * known by a mount in the process's private mount namespace only; nothing of it has a name on the host.
 *
 * The rules stand before the namespace is connected. `pasta` goes to the background once it is, and `ready` is told.
 * Arguments: 1 ruleset, 2 name server of the host or empty, 3… arguments of pasta.
 */
const keeperScript = `
set -eu
rules=$1 nameserver=$2
shift 2
mount -t tmpfs -o size=64k,mode=700 tmpfs /tmp
: > /tmp/network
unshare --net sh -euc '
  echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
  printf %s "$1" | nft -f -
  mount --bind /proc/self/ns/net /tmp/network
' sh "$rules"
if [ -n "$nameserver" ]; then
  echo "nameserver $nameserver" > /tmp/resolv.conf
  mount --bind /tmp/resolv.conf /etc/resolv.conf
fi
pasta --netns /tmp/network --netns-only "$@"
read -r process _ < /proc/self/stat
echo "ready $process"
exec cat
`;

/**
 * Makes the network of one sandbox: a network namespace inside a user namespace, connected by `pasta` (user-mode
 * networking, so no root is needed), filtered by nftables. `127.0.0.1:80` inside is `gatewayHostPort` on the host's
 * loopback; UDP and TCP port 53 of `nameserver` is the host's own resolver.
 *
 * Everything dies with the calling process, however it ends. Throws `SandboxStartError` when a tool is missing or the
 * host does not allow it, and a `RangeError` for an allowed network that is none.
 */
export async function createSandboxNetwork(options: SandboxNetworkOptions): Promise<SandboxNetwork> {
  const rules = egressRules({
    nameserver: routerAndNameserver,
    hostAddresses: hostAddresses(),
    allowedPrivateNetworks: options.allowedPrivateNetworks ?? [],
  });
  const nameserver = hostNameserver((path) => (existsSync(path) ? readFileSync(path, 'utf8') : null));
  const keeper = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork'],
      ...['--kill-child=SIGKILL', 'sh', '-c', keeperScript, 'slipway-network', rules, nameserver ?? ''],
      ...pastaArguments(options.gatewayHostPort, nameserver),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: environmentOfSystemTools() },
  );
  const ended = new Promise<void>((resolve) => keeper.once('close', () => resolve()));

  const firstProcess = await readyProcess(keeper).catch(async (error: unknown) => {
    keeper.kill('SIGKILL');
    await ended;
    throw await explainFailure(error);
  });
  // Held open by descriptor: a path with a process id could come to mean another process's namespace.
  const network = openSync(`/proc/${firstProcess}/root/tmp/network`, 'r');
  const user = openSync(`/proc/${firstProcess}/ns/user`, 'r');
  const namespacePath = `/proc/${process.pid}/fd/${network}`;
  let destroyed: Promise<void> | undefined;

  async function destroy(): Promise<void> {
    closeSync(network);
    closeSync(user);
    keeper.stdin?.end();
    const impatience = setTimeout(() => keeper.kill('SIGKILL'), endDeadlineMilliseconds);
    await ended;
    clearTimeout(impatience);
  }

  return {
    // Root enters the network namespace directly; everybody else has to become the user namespace's root first.
    enter:
      process.getuid?.() === 0
        ? ['nsenter', `--net=${namespacePath}`, '--']
        : [
            'nsenter',
            `--user=/proc/${process.pid}/fd/${user}`,
            '--preserve-credentials',
            `--net=${namespacePath}`,
            '--',
          ],
    namespacePath,
    gatewayPort,
    nameserver: routerAndNameserver,
    destroy: () => {
      destroyed ??= destroy();
      return destroyed;
    },
  };
}

function pastaArguments(gatewayHostPort: number, nameserver: string | null): string[] {
  const dns = nameserver === null ? [] : ['--dns-forward', routerAndNameserver];
  // A resolver on the host's loopback is reached through pasta's mapping of the router's address to the host's
  // loopback; of that, the rules leave port 53 open and nothing else. Without need there is no such mapping at all.
  const mapping = nameserver !== null && isLoopback(nameserver) ? [] : ['--no-map-gw'];
  return [
    ...['--quiet', '--config-net', '--no-dhcp', '--no-dhcpv6', ...mapping, ...dns],
    ...['--address', ownAddress, '--netmask', '255.255.255.0', '--gateway', routerAndNameserver],
    ...['--tcp-ports', 'none', '--udp-ports', 'none', '--udp-ns', 'none'],
    ...['--tcp-ns', `${gatewayPort}:${gatewayHostPort}`],
  ];
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
}

async function explainFailure(error: unknown): Promise<SandboxStartError> {
  const obstacle = await networkObstacle();
  const particulars = error instanceof Error ? error.message : String(error);
  const why =
    obstacle === undefined
      ? `${particulars}; install passt, nftables and util-linux where they are missing`
      : `${obstacle.what}. Try: ${obstacle.remedy}`;
  return new SandboxStartError(`The sandbox's network could not be set up: ${why}`, 'sandbox-failed', {
    cause: error,
  });
}

/** The host's id of the keeper's first process, once the namespace is connected. Rejects with what it complained of. */
function readyProcess(keeper: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = '';
    let errors = '';
    const fail = (what: string, cause?: Error) => {
      clearTimeout(deadline);
      const particulars = errors.replaceAll(/^Failed to send \d+ bytes to syslog\n?/gm, '').trim();
      reject(new Error(particulars === '' ? what : `${what} (${particulars})`, { cause }));
    };
    const deadline = setTimeout(() => fail('it took too long'), startDeadlineMilliseconds);
    keeper.once('error', (error) => fail(error.message, error));
    keeper.once('close', (code, signal) => fail(`it ended with ${signal ?? `status ${code}`}`));
    keeper.stdin?.on('error', () => {});
    keeper.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-keptErrorCharacters);
    });
    keeper.stdout?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(0, keptErrorCharacters);
      const ready = /^ready (\d+)\n/m.exec(output);
      if (ready === null) return;
      clearTimeout(deadline);
      resolve(Number(ready[1]));
    });
  });
}
