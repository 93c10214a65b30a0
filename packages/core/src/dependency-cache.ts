import * as z from 'zod';
import type { Operation } from './run.ts';

/** The tools whose packages are cached, by the name that begins their keys. */
export const cachedTool = z.enum(['npm', 'yarn', 'pnpm', 'pip', 'uv', 'poetry', 'go', 'dotnet']);
export type CachedTool = z.infer<typeof cachedTool>;

/** What the cache promises not to exceed. */
export const cacheLimits = {
  /** Of one entry, as it lies in the cache. */
  entryBytes: 5 * 1024 ** 3,
  /** Room for what a run installs for an entry that is a disk, where its volume is not smaller: more is never saved. */
  deviceGiB: 16,
  /** An entry that nobody read for so long is dropped. */
  unreadDays: 30,
  /** So long a run waits for its entry at most; then it goes on without. */
  restoreSeconds: 10,
  /** So long a run waits at most until its entry is saved. */
  saveSeconds: 60,
} as const;

/** Names an entry among those of its project: the tool and the SHA-256 of its lock file. */
export const cacheKey = z.string().regex(new RegExp(`^(${cachedTool.options.join('|')})-[0-9a-f]{64}$`));

export const maximumCachedPaths = 16;
/** Where nothing of the user's is, and much that keeps a sandbox working. */
const foreignFolders = ['/proc', '/sys', '/dev', '/run', '/slipway', '/slipway-devices'];

/** A folder in the sandbox whose content is kept: absolute, without `.`, `..` or doubled slashes. */
export const cachedPath = z
  .string()
  .max(1024)
  .regex(/^(\/[^/\0\n]+)+$/, 'it must be an absolute path')
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'it must be normal')
  .refine(
    (path) => !foreignFolders.some((folder) => path === folder || path.startsWith(`${folder}/`)),
    'it must not lie among the folders of the system',
  );

/**
 * Which entries a run may read and write. Runs of one namespace share a cache: those of one project, in one pool, since
 * it was last cleared. Within it, scopes keep less trusted runs from writing what more trusted ones read.
 */
export const cacheGrant = z.object({
  namespace: z.string().max(200),
  writeScope: z.string().max(200),
  /** In order of preference. */
  readScopes: z.array(z.string().max(200)).min(1).max(4),
});
export type CacheGrant = z.infer<typeof cacheGrant>;

/** What decides how far a run is trusted. */
export interface CacheTrust {
  readonly stackId: string;
  readonly operation: Operation;
  /** Number of the pull request that the run deploys. */
  readonly pullRequest: number | null;
  /** Whether other stacks of the project are kept from what this one writes. */
  readonly isSeparate: boolean;
}

const mainScope = 'main';

/**
 * The scopes of a run: what runs in the name of a pull request, as a preview, or on a stack that is kept apart reads the
 * main scope, and writes one of its own.
 */
export function cacheScopesOf(trust: CacheTrust): Pick<CacheGrant, 'writeScope' | 'readScopes'> {
  const own = ownScopeOf(trust);
  if (own === undefined) return { writeScope: mainScope, readScopes: [mainScope] };
  return { writeScope: own, readScopes: [own, mainScope] };
}

function ownScopeOf({ stackId, operation, pullRequest, isSeparate }: CacheTrust): string | undefined {
  if (pullRequest !== null) return `pull request ${pullRequest} of ${stackId}`;
  if (operation === 'preview') return `preview of ${stackId}`;
  return isSeparate ? `stack ${stackId}` : undefined;
}
