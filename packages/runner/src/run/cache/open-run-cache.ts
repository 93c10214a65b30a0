import type { LiveRun } from '../live-run.ts';
import type { Prepared } from '../prepared.ts';
import { RunCache } from './run-cache.ts';

/**
 * The cache of a run whose settings ask for one. Open it before the sandbox is made: what the sandbox leaves is kept
 * after it is gone.
 */
export function openRunCache(run: LiveRun, { image }: Prepared): RunCache | undefined {
  const { cache: grant, platform } = run.outline;
  const { sharedEntries } = run.context;
  const { dependencyCache: store } = run.context.parts;
  if (grant === null || store === undefined) return undefined;
  const cache = new RunCache({
    store,
    grant,
    platform,
    imageDigest: image.digest,
    log: run.log,
    shared: sharedEntries && { entries: sharedEntries, calls: run.cacheCalls },
  });
  void run.resources.hold('cache entry', Promise.resolve(cache), (opened) => opened.settle());
  return cache;
}
