import { runCommand } from '../setup/run-command.ts';

/** How many user ids the namespaces of this user's sandboxes have besides root's, and how they get them. */
export interface SubordinateIds {
  readonly count: number;
  /** Arguments of unshare(1), after `--map-root-user`. */
  readonly mapping: readonly string[];
}

const none: SubordinateIds = { count: 0, mapping: [] };
const mapping = ['--map-auto'] as const;
let found: Promise<SubordinateIds> | undefined;

/**
 * The ids that /etc/subuid and /etc/subgid give this user, tried out once (newuidmap(1), Debian package uidmap). Without
 * any, everything of a sandbox runs under the user's own id. Root needs none.
 */
export function subordinateIds(): Promise<SubordinateIds> {
  found ??= process.getuid?.() === 0 ? Promise.resolve(none) : tryOut();
  return found;
}

async function tryOut(): Promise<SubordinateIds> {
  try {
    const namespace = ['unshare', '--user', '--map-root-user', ...mapping];
    const maps = await runCommand([...namespace, 'cat', '/proc/self/uid_map', '/proc/self/gid_map']);
    // `first id inside, first id outside, count`; root's own line comes first in each.
    const counts = maps
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number))
      .flatMap(([inside, , count = 0]) => (inside === 1 ? [count] : []));
    return counts.length === 2 ? { count: Math.min(...counts), mapping } : none;
  } catch {
    return none;
  }
}
