import { randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

/** Above what hosts, containers and their user namespaces give out, and so many that two never meet. */
const lowestUserId = 1_000_000_000;
const mostUserIds = 2 ** 24;

/**
 * The command in front of a program that makes it a process without rights: under a user id of its own where we are
 * root (our own otherwise), without capabilities and ways to new ones, and dead as soon as we are.
 *
 * `inUserNamespace`: it runs as root of a user namespace, whose rights it has to give up.
 */
export function withoutRights({ inUserNamespace }: { readonly inUserNamespace: boolean }): string[] {
  const userId = process.getuid?.() === 0 ? String(freeUserId()) : undefined;
  const identity =
    userId === undefined ? [] : ['--reuid', userId, '--regid', userId, ...supplementaryGroups()];
  // Without any right there is none to give up, and no right to do so.
  const bounding = userId !== undefined || inUserNamespace ? ['--bounding-set=-all'] : [];
  return [
    ...['setpriv', '--pdeathsig', 'KILL', ...identity],
    ...['--no-new-privs', '--inh-caps=-all', ...bounding],
  ];
}

/** Hardware acceleration may be open to a group only. */
function supplementaryGroups(): string[] {
  const device = statSync('/dev/kvm', { throwIfNoEntry: false });
  const groupOnly = device !== undefined && (device.mode & 0o006) === 0 && (device.mode & 0o060) !== 0;
  return groupOnly && device.gid !== 0 ? ['--groups', String(device.gid)] : ['--clear-groups'];
}

/** In a container fewer ids may exist than on the host. */
export function freeUserId(): number {
  const ranges = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  const end = Math.max(
    ...ranges
      .map((range) => range.trim().split(/\s+/).map(Number))
      .map(([start = 0, , length = 0]) => start + length),
  );
  const lowest = Math.min(lowestUserId, Math.floor(end / 2));
  return lowest + randomInt(Math.min(mostUserIds, end - lowest - 1));
}
