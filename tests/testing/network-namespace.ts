import { execFile } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Another host, as far as the network goes: a network namespace, and one cable between it and this host. */
export interface NetworkNamespace extends AsyncDisposable {
  /** This host's address on the cable. */
  readonly hostAddress: string;
  /** The address of the other end. */
  readonly address: string;
  /** Put before a command to run it inside. The process that is started becomes the command. */
  readonly enter: readonly string[];
  /** A firewall inside from now on: nothing comes through the cable any more, and nobody is told. */
  disconnect(): Promise<void>;
}

/** Makes a namespace whose only way out is a cable to this host. Needs root. */
export async function makeNetworkNamespace(): Promise<NetworkNamespace> {
  // Interface names have at most 15 characters.
  const name = `slp-${randomBytes(4).toString('hex')}`;
  const [hostEnd, farEnd] = [`${name}-h`, `${name}-n`];
  const network = `10.${randomInt(200, 250)}.${randomInt(256)}`;
  const [hostAddress, address] = [`${network}.1`, `${network}.2`];
  const ip = (...args: string[]) => execute('ip', args);
  const inside = (...args: string[]) => ip('-n', name, ...args);

  await ip('netns', 'add', name);
  try {
    await ip('link', 'add', hostEnd, 'type', 'veth', 'peer', 'name', farEnd, 'netns', name);
    await ip('address', 'add', `${hostAddress}/30`, 'dev', hostEnd);
    await ip('link', 'set', hostEnd, 'up');
    await inside('address', 'add', `${address}/30`, 'dev', farEnd);
    await inside('link', 'set', 'lo', 'up');
    await inside('link', 'set', farEnd, 'up');
    await inside('route', 'add', 'default', 'via', hostAddress);
  } catch (error) {
    await ip('netns', 'delete', name);
    throw error;
  }
  return {
    hostAddress,
    address,
    // `ip netns exec` would hide the control groups: it mounts a /sys of its own.
    enter: ['nsenter', `--net=/run/netns/${name}`],
    disconnect: async () => {
      const chain = (hook: string, match: string) =>
        `chain ${hook} { type filter hook ${hook} priority 0; ${match} "${farEnd}" drop; };`;
      const table = `table inet cut { ${chain('input', 'iifname')} ${chain('output', 'oifname')} }`;
      await execute('nsenter', [`--net=/run/netns/${name}`, 'nft', table]);
    },
    // The pair of interfaces goes as soon as one end is deleted; with the namespace alone, when its last process ends.
    [Symbol.asyncDispose]: async () => {
      await ip('link', 'delete', hostEnd);
      await ip('netns', 'delete', name);
    },
  };
}
