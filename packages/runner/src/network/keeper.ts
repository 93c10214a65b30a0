import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { Readable, Writable } from 'node:stream';
import { SandboxStartError } from '../isolation/isolation.ts';
import { freeUserId } from '../isolation/vm/unprivileged-user.ts';
import { environmentOfSystemTools } from '../setup/path-search.ts';
import { networkObstacle } from './host-obstacle.ts';
import {
  type KeeperScriptOptions,
  keeperScript,
  resolverConfigurationDescriptor,
  resolverLogDescriptor,
  rulesDescriptor,
} from './keeper-script.ts';

export interface KeeperOptions extends KeeperScriptOptions {
  /** Arguments of unshare(1) that give the user namespace ids besides root's. */
  readonly userMapping: readonly string[];
}

/** What decides where a network leads. */
export interface Opening {
  /** For `nft -f`. */
  readonly rules: string;
  readonly resolverConfiguration: string;
}

/** The process that holds the namespaces of a network, and what serves it. */
export interface Keeper {
  /** The host's id of its first process. */
  readonly processId: number;
  /** What the resolver logs. */
  readonly resolverLog: Readable;
  /** Opens the network, once. Throws `SandboxStartError` with what is wrong. */
  open(opening: Opening): Promise<void>;
  /** Ends it and everything that it holds. */
  end(): Promise<void>;
}

const startDeadlineMilliseconds = 10_000;
const endDeadlineMilliseconds = 2_000;
const keptErrorCharacters = 4096;

/** A /dev/net/tun that everybody may open, for this process and its children alone. */
const ownTunDevice = `
set -eu
mount -t tmpfs -o size=4k,mode=755 tmpfs /mnt
mknod -m 666 /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
exec "$@"
`;

/**
 * Starts the keeper of a network; it dies with the calling process, however that ends. Throws `SandboxStartError` when a
 * tool is missing or the host does not allow it.
 */
export async function startKeeper(options: KeeperOptions): Promise<Keeper> {
  const [command = '', ...rest] = [...unprivileged(), ...keeperCommand(options)];
  const child = spawn(command, rest, {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: environmentOfSystemTools(),
    detached: true, // Out of reach of a terminal's Ctrl-C, as the sandbox that it serves.
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const resolverLog = child.stdio.at(resolverLogDescriptor);
  if (!(resolverLog instanceof Readable)) throw new Error('the keeper was started without its pipes');
  resolverLog.on('error', () => {});
  const words = new KeeperWords(child);
  const kill = async () => {
    resolverLog.resume();
    child.kill('SIGKILL');
    await ended;
  };

  const ready = await words.hear(/^ready (\d+)\n/m).catch(async (error: unknown) => {
    await kill();
    throw await explainFailure(error);
  });
  let isOpening = false;
  return {
    processId: Number(ready[1]),
    resolverLog,
    async open({ rules, resolverConfiguration }) {
      isOpening = true;
      const opened = words.hear(/^open\n/m);
      give(child, rulesDescriptor, rules);
      give(child, resolverConfigurationDescriptor, resolverConfiguration);
      await opened.catch(async (error: unknown) => {
        throw await explainFailure(error);
      });
    },
    async end() {
      // It waits for its rules, and does not see that its standard input ends.
      if (!isOpening) return kill();
      child.stdin?.end();
      const impatience = setTimeout(() => child.kill('SIGKILL'), endDeadlineMilliseconds);
      await ended;
      clearTimeout(impatience);
    },
  };
}

/**
 * What makes root somebody who is nobody on the host, before there is a user namespace: neither pasta nor dnsmasq, which
 * read what sandboxes send, can then do more than that.
 */
function unprivileged(): string[] {
  const untilWeEnd = ['setpriv', '--pdeathsig', 'KILL'];
  if (process.getuid?.() !== 0) return untilWeEnd;
  const user = String(freeUserId());
  const rootMayOpenOnly = (statSync('/dev/net/tun', { throwIfNoEntry: false })?.mode ?? 0) % 8 < 6;
  return [
    ...(rootMayOpenOnly ? ['unshare', '--mount', 'sh', '-c', ownTunDevice, 'slipway-network'] : []),
    ...[...untilWeEnd, '--reuid', user, '--regid', user, '--clear-groups'],
    ...['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'],
  ];
}

function keeperCommand(options: KeeperOptions): string[] {
  return [
    ...['unshare', '--user', '--map-root-user', ...options.userMapping, '--mount', '--pid', '--fork'],
    ...['--kill-child=SIGKILL', 'sh', '-c', keeperScript(options), 'slipway-network'],
  ];
}

function give(child: ChildProcess, descriptor: number, text: string): void {
  const stream = child.stdio.at(descriptor);
  if (!(stream instanceof Writable)) throw new Error('the keeper was started without its pipes');
  stream.on('error', () => {}); // It ended before it read everything; its own error tells why.
  stream.end(text);
}

async function explainFailure(error: unknown): Promise<SandboxStartError> {
  const obstacle = await networkObstacle();
  const particulars = error instanceof Error ? error.message : String(error);
  const why =
    obstacle === undefined
      ? `${particulars}; install passt, nftables, dnsmasq-base, iproute2 and util-linux where they are missing`
      : `${obstacle.what}. Try: ${obstacle.remedy}`;
  return new SandboxStartError(`The sandbox's network could not be set up: ${why}`, 'sandbox-failed', {
    cause: error,
  });
}

/** What a keeper says: words that were agreed upon on standard output, complaints on standard error. */
class KeeperWords {
  readonly #keeper: ChildProcess;
  #output = '';
  #errors = '';
  #look: () => void = () => {};

  constructor(keeper: ChildProcess) {
    this.#keeper = keeper;
    keeper.on('error', () => {}); // Whoever listens to it hears of that; afterwards it is of no interest.
    keeper.stdin?.on('error', () => {});
    keeper.stderr?.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-keptErrorCharacters);
    });
    keeper.stdout?.on('data', (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(0, keptErrorCharacters);
      this.#look();
    });
  }

  /** Settles once it has said this. Rejects with what it complained of when it ends before, or takes too long. */
  hear(words: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const fail = (what: string, cause?: Error) => {
      const particulars = this.#errors.replaceAll(/^Failed to send \d+ bytes to syslog\n?/gm, '').trim();
      reject(new Error(particulars === '' ? what : `${what} (${particulars})`, { cause }));
    };
    const failed = (error: Error) => fail(error.message, error);
    const ended = (code: number | null, signal: string | null) =>
      fail(`it ended with ${signal ?? `status ${code}`}`);
    const deadline = setTimeout(() => fail('it took too long'), startDeadlineMilliseconds);
    this.#keeper.once('error', failed).once('close', ended);
    this.#look = () => {
      const said = words.exec(this.#output);
      if (said !== null) resolve(said);
    };
    this.#look();
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) fail('it has ended');
    return promise.finally(() => {
      clearTimeout(deadline);
      this.#keeper.off('error', failed).off('close', ended);
    });
  }
}
