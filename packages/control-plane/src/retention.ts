import type { ControlPlane } from './control-plane.ts';
import { removeDeploymentsOfRemovedStacks } from './deployments/index.ts';
import { removeFinishedRuns } from './queue/index.ts';
import { removeEvents } from './stacks/index.ts';

const dayMilliseconds = 24 * 60 * 60 * 1000;
/** Whoever watched a deployment that removed its own stack has read its log by then. */
const orphanDays = 1;

/**
 * Removes what need not be kept any longer: finished runs with their logs and the events of updates after `keepRunsDays`
 * days (never when that is 0), deployments of removed stacks after one. Stacks keep their state and its history.
 */
export async function removeOld(
  { db, now, log }: Pick<ControlPlane, 'db' | 'now' | 'log'>,
  keepRunsDays: number,
  signal: AbortSignal,
): Promise<void> {
  const daysAgo = (days: number) => new Date(now().getTime() - days * dayMilliseconds);
  const orphans = await removeDeploymentsOfRemovedStacks(db, daysAgo(orphanDays), signal);
  const before = daysAgo(keepRunsDays);
  const runs = keepRunsDays === 0 ? 0 : await removeFinishedRuns(db, before, signal);
  const updates = keepRunsDays === 0 ? 0 : await removeEvents(db, before, signal);
  if (orphans + runs + updates > 0) {
    log.info({ orphans, runs, updates }, 'Removed old runs, and the events of old updates');
  }
}
