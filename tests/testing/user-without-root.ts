import { join } from 'node:path';
import { cacheDirectory } from '@slipway/runner';
import { type SlipwayProcess, startSlipwayProcess } from './slipway-process.ts';

const repository = join(import.meta.dirname, '..', '..');
const script = join(import.meta.dirname, 'user-without-root.sh');
/** Where the user sees the repository: the place where it really lies may be root's alone. */
const program = '/mnt/slipway/slipway';

/** Nobody of this host. */
export const userIdWithoutRoot = 61_234;
/** The ids in the user's namespaces, as /etc/subuid gives them. */
export const subordinateUserIds = { first: 2_000_000, count: 65_536 } as const;
export const homeWithoutRoot = '/mnt/home';

/**
 * Starts `./slipway …` as a user without root, of a host where `tun` says who may open /dev/net/tun, with the mounts
 * that a service has or those of the host. Needs root.
 */
export function startAsUserWithoutRoot(
  args: readonly string[],
  {
    tun = 'open',
    mounts = 'usual',
    environment = {},
  }: {
    tun?: 'open' | 'closed' | 'absent';
    mounts?: 'usual' | 'service';
    environment?: Readonly<Record<string, string>>;
  } = {},
): SlipwayProcess {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const user = [repository, cacheDirectory(process.env), String(userIdWithoutRoot), tun, mounts];
  return startSlipwayProcess(
    args,
    ['unshare', '--mount', 'sh', script, ...user, 'env', ...variables],
    program,
  );
}
