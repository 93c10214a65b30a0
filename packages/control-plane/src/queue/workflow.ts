import type { Job, RegistryCredentials, RunOutline, WantedImage, Workflow } from '@slipway/core';
import type { Database } from '../database/database.ts';
import type { PoolRecord } from '../pools/index.ts';
import type { RunRecord } from './run.ts';

/**
 * What a kind of run (deployment, scan, policy evaluation) tells the queue about its runs. The queue knows lanes, claims
 * and leases, and nothing of what is in a run.
 */
export interface WorkflowRuns {
  /** What a runner needs to prepare; undefined when what the run is about is gone (its stack was removed). */
  outline(db: Database, run: RunRecord): Promise<RunOutline | undefined>;
  /** How its runner logs in to the registry of the executor image; null as the runner's host does. */
  imageCredentials(db: Database, run: RunRecord): Promise<RegistryCredentials | null>;
  /** The executor images that runs of a pool may ask for one day, each once, so that its runners can prepare them. */
  images(db: Database, pool: PoolRecord): Promise<readonly WantedImage[]>;
  /** Everything, secrets in clear. Asked again it answers the same, the job token included. */
  job(db: Database, run: RunRecord): Promise<Job>;
}

export type Workflows = Readonly<Partial<Record<Workflow, WorkflowRuns>>>;

export function workflowOf(workflows: Workflows, run: RunRecord): WorkflowRuns {
  const runs = workflows[run.workflow];
  if (!runs) throw new Error(`No part of this control plane knows runs of the workflow "${run.workflow}".`);
  return runs;
}
