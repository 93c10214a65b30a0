import { randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

/** Above what hosts, containers and their user namespaces give out, and so many that two never meet. */
const lowestUserId = 1_000_000_000;
const mostUserIds = 2 ** 24;

/**
 * The command in front of a program that makes it a process without rights: without capabilities and ways to new ones, and
 * dead as soon as we are. Root gives it a user id of its own.
 */
export function withoutRights(): string[] {
  const { user, groups } = ownIdentity();
  const identity = user === undefined ? [] : ['--reuid', user, '--regid', user, ...groupOptions(groups)];
  // Without any right there is none to give up, and no right to do so.
  const bounding = user === undefined ? [] : ['--bounding-set=-all'];
  return [
    ...['setpriv', '--pdeathsig', 'KILL', ...identity],
    ...['--no-new-privs', '--inh-caps=-all', ...bounding],
  ];
}

/** Who a program of ours becomes. */
export interface Identity {
  /** Undefined where there is no other than ours. */
  readonly user: string | undefined;
  /** The id of the only further group. */
  readonly groups: 'none' | 'keep' | string;
}

/**
 * A user that nothing else is. Root can take any id. Everybody else has those that `userNamespace`, as whose root we act,
 * holds besides root's.
 */
export function ownIdentity(userNamespace?: UserNamespace): Identity {
  const isRoot = process.getuid?.() === 0;
  const userId = isRoot ? freeUserId() : userIdInside(userNamespace);
  return { user: userId === undefined ? undefined : String(userId), groups: furtherGroups(isRoot) };
}

function groupOptions(groups: Identity['groups']): string[] {
  if (groups === 'none') return ['--clear-groups'];
  return groups === 'keep' ? ['--keep-groups'] : ['--groups', groups];
}

/** A user namespace whose root we are; its ids other than root's go from 1 on. */
export interface UserNamespace {
  readonly furtherUserIds: number;
}

function userIdInside(namespace: UserNamespace | undefined): number | undefined {
  return namespace?.furtherUserIds ? 1 + randomInt(namespace.furtherUserIds) : undefined;
}

/** Hardware acceleration may be open to a group only. Who is not root cannot keep that group alone. */
function furtherGroups(isRoot: boolean): Identity['groups'] {
  const device = statSync('/dev/kvm', { throwIfNoEntry: false });
  const groupOnly = device !== undefined && (device.mode & 0o006) === 0 && (device.mode & 0o060) !== 0;
  if (!groupOnly || device.gid === 0) return 'none';
  return isRoot ? String(device.gid) : 'keep';
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
