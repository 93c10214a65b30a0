import { randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

/** Above what hosts, containers and their user namespaces give out, and so many that two never meet. */
const lowestUserId = 1_000_000_000;
const mostUserIds = 2 ** 24;

/**
 * The command in front of a program that makes it a process without rights: under a user id of its own, without
 * capabilities and ways to new ones, and dead as soon as we are. Root can take any id. Everybody else has those that
 * `userNamespace`, as whose root the command runs, holds besides root's; with none, the program keeps our own.
 */
export function withoutRights({ userNamespace }: { userNamespace?: UserNamespace } = {}): string[] {
  const isRoot = process.getuid?.() === 0;
  const userId = isRoot ? freeUserId() : userIdInside(userNamespace);
  const identity =
    userId === undefined
      ? []
      : ['--reuid', String(userId), '--regid', String(userId), ...supplementaryGroups(isRoot)];
  // Without any right there is none to give up, and no right to do so.
  const bounding = isRoot || userNamespace ? ['--bounding-set=-all'] : [];
  return [
    ...['setpriv', '--pdeathsig', 'KILL', ...identity],
    ...['--no-new-privs', '--inh-caps=-all', ...bounding],
  ];
}

/** A user namespace whose root we are; its ids other than root's go from 1 on. */
interface UserNamespace {
  readonly furtherUserIds: number;
}

function userIdInside(namespace: UserNamespace | undefined): number | undefined {
  return namespace?.furtherUserIds ? 1 + randomInt(namespace.furtherUserIds) : undefined;
}

/** Hardware acceleration may be open to a group only. Who is not root cannot keep that group alone. */
function supplementaryGroups(isRoot: boolean): string[] {
  const device = statSync('/dev/kvm', { throwIfNoEntry: false });
  const groupOnly = device !== undefined && (device.mode & 0o006) === 0 && (device.mode & 0o060) !== 0;
  if (!groupOnly || device.gid === 0) return ['--clear-groups'];
  return isRoot ? ['--groups', String(device.gid)] : ['--keep-groups'];
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
