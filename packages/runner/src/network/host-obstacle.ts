import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { findOnPath } from '../setup/path-search.ts';
import { runCommand } from '../setup/run-command.ts';

/** What keeps a user of this host from something, and the command that ends it. */
export interface HostObstacle {
  readonly what: string;
  readonly remedy: string;
}

/** Makes the interface of a sandbox's network. Debian's udev opens it to all: it gives no right over the host's own. */
const tunDevice = '/dev/net/tun';

/** Switches that forbid user namespaces, with the value that does. */
const switches = [
  { name: 'user.max_user_namespaces', forbids: '0', allows: '15000' },
  { name: 'kernel.unprivileged_userns_clone', forbids: '0', allows: '1' },
  { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', allows: '0' },
] as const;

/** Why this user could not make networks of sandboxes on this host; undefined where no reason is known. */
export async function networkObstacle(): Promise<HostObstacle | undefined> {
  return (await userNamespaceObstacle()) ?? (await tunObstacle());
}

/** Why this user cannot open the device that networks are made with. */
export async function tunObstacle(): Promise<HostObstacle | undefined> {
  try {
    await (await open(tunDevice, constants.O_RDWR)).close();
    return undefined;
  } catch (error) {
    const isForbidden = error instanceof Error && 'code' in error && error.code === 'EACCES';
    return isForbidden
      ? { what: `this user may not open ${tunDevice}`, remedy: `sudo chmod 0666 ${tunDevice}` }
      : { what: `this host has no usable ${tunDevice}`, remedy: 'sudo modprobe tun' };
  }
}

/** Why this user cannot make user namespaces. */
export async function userNamespaceObstacle(): Promise<HostObstacle | undefined> {
  if ((await findOnPath('unshare')) === undefined) return undefined; // Nothing is known then.
  try {
    await runCommand(['unshare', '--user', '--map-root-user', '--net', 'true']);
    return undefined;
  } catch {
    const what = 'this user may not make user namespaces';
    for (const { name, forbids, allows } of switches) {
      const path = `/proc/sys/${name.replaceAll('.', '/')}`;
      const value = await readFile(path, 'utf8').catch(() => '');
      if (value.trim() === forbids) return { what, remedy: `sudo sysctl -w ${name}=${allows}` };
    }
    return { what, remedy: 'allow them where this host (or the container that it is) forbids them' };
  }
}
