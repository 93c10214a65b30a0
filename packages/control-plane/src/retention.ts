import type { ControlPlane } from './control-plane.ts';
import { removeDeploymentsOfRemovedStacks } from './deployments/index.ts';
import { removeRunners } from './pools/index.ts';
import { removeFinishedRuns } from './queue/index.ts';
import { removeEvents, removeUnstartedUpdates } from './stacks/index.ts';

const dayMilliseconds = 24 * 60 * 60 * 1000;
/** Whoever watched a deployment that removed its own stack has read its log by then. */
const orphanDays = 1;
/** A CLI starts its update in the call after the one that made it. */
const unstartedDays = 1;
/** As long as a host counts that shares its dependency caches. */
const runnerDays = 7;

/**
 * Removes what need not be kept any longer: finished runs with their logs and the events of updates after `keepRunsDays`
 * days (never when that is 0), deployments of removed stacks and updates that never started after one, runners that were
 * not seen for a week. Stacks keep their state and its history.
 */
export async function removeOld(
  { db, now, log }: Pick<ControlPlane, 'db' | 'now' | 'log'>,
  keepRunsDays: number,
  signal: AbortSignal,
): Promise<void> {
  const daysAgo = (days: number) => new Date(now().getTime() - days * dayMilliseconds);
  const orphans = await removeDeploymentsOfRemovedStacks(db, daysAgo(orphanDays), signal);
  const unstarted = await removeUnstartedUpdates(db, daysAgo(unstartedDays));
  const runners = await removeRunners(db, daysAgo(runnerDays));
  const before = daysAgo(keepRunsDays);
  const runs = keepRunsDays === 0 ? 0 : await removeFinishedRuns(db, before, signal);
  const updates = keepRunsDays === 0 ? 0 : await removeEvents(db, before, signal);
  if (orphans + runs + updates + unstarted + runners > 0) {
    const removed = { orphans, runs, updates, unstarted, runners };
    log.info(removed, 'Removed old runs, the events of old updates, and what was never used again');
  }
}
