import type { ImageUser } from '../image.ts';
import type { ImageTree } from './image-tree.ts';
import { ImageRefused } from './limits.ts';

const maximumFileBytes = 4 * 1024 * 1024;
const largestId = 2 ** 32 - 2;

/**
 * Whom the image's `USER` means, by the rules of Docker: a name or number, and behind a colon that of a group. A number
 * need not be known to the image. Throws `ImageRefused` for a name that is not.
 */
export function imageUser(tree: ImageTree, written: string): ImageUser {
  const [user = '', group] = written.split(':');
  const accounts = lines(tree, '/etc/passwd');
  const account =
    accounts.find(([name]) => name === (user || 'root')) ?? accounts.find(([, , id]) => id === (user || '0'));
  const userId = numberOf(account?.[2] ?? (user || '0'));
  if (userId === undefined) {
    throw new ImageRefused(
      `its USER is "${written}", and there is no user "${user}" in its /etc/passwd; add it.`,
    );
  }
  return {
    userId,
    furtherGroupIds: group ? [] : furtherGroups(tree, account?.[0]),
    groupId: groupOf(tree, written, group) ?? numberOf(account?.[3]) ?? 0,
    home: account?.[5] || (userId === 0 ? '/root' : '/'),
  };
}

function groupOf(tree: ImageTree, written: string, group: string | undefined): number | undefined {
  if (!group) return undefined;
  const groups = lines(tree, '/etc/group');
  const found = groups.find(([name]) => name === group) ?? groups.find(([, , id]) => id === group);
  const groupId = numberOf(found?.[2] ?? group);
  if (groupId !== undefined) return groupId;
  throw new ImageRefused(
    `its USER is "${written}", and there is no group "${group}" in its /etc/group; add it.`,
  );
}

/** The groups that list the user as a member. */
function furtherGroups(tree: ImageTree, name: string | undefined): number[] {
  if (!name) return [];
  const groups = lines(tree, '/etc/group').filter(([, , , members]) => members?.split(',').includes(name));
  return groups.flatMap(([, , id]) => numberOf(id) ?? []);
}

function lines(tree: ImageTree, path: string): string[][] {
  const text = tree.readFile(path, maximumFileBytes)?.toString('utf8') ?? '';
  return text.split('\n').map((line) => line.split(':'));
}

function numberOf(text: string | undefined): number | undefined {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : largestId + 1;
  return value <= largestId ? value : undefined;
}
