import {
  cause,
  egressRecord,
  operation,
  runOutcome,
  runState,
  sandboxFacts,
  stepReport,
  usageSample,
  usageSummary,
} from '@slipway/core';
import * as z from 'zod';
import type { ApiClient } from '../api-client.ts';
import { stackPath } from '../stack-path.ts';

const time = z.iso.datetime();

/** What `GET /api/slipway/runs/{id}` tells. */
const runAnswer = z.object({
  id: z.uuid(),
  stack: z.string(),
  number: z.number(),
  state: runState,
  outcome: runOutcome.nullable(),
  waiting: z.string().optional(),
  cause: cause.nullable(),
  message: z.string().nullable(),
  claims: z.number(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  cancelRequestedAt: time.nullable(),
  steps: z.array(stepReport),
  runner: z.object({ hostname: z.string(), version: z.string() }).nullable(),
  sandbox: sandboxFacts.nullable(),
  phaseMilliseconds: z.record(z.string(), z.number()),
  egress: egressRecord.nullable(),
  usage: usageSummary.nullable(),
});
const usageAnswer = z.object({ samples: z.array(usageSample) });
const deploymentAnswer = z.object({ pulumiOperation: operation });
const stepLog = z.object({ lines: z.array(z.object({ line: z.string() })) });

/** A run, and what else is told of it. */
export type RunFacts = z.infer<typeof runAnswer> & {
  readonly operation: z.infer<typeof operation>;
  /** Whether the dependency cache was used and, if not, why; null where nothing is said of it. */
  readonly cache: string | null;
  readonly samples: z.infer<typeof usageAnswer>['samples'];
};

/** All that the control plane knows of a run. */
export async function factsOfRun(api: ApiClient, id: string): Promise<RunFacts> {
  const run = await api.call(runAnswer, 'GET', `/api/slipway/runs/${encodeURIComponent(id)}`);
  const path = `/api/stacks/${stackPath(run.stack)}/deployments/${run.id}`;
  const [{ pulumiOperation }, { samples }, cache] = await Promise.all([
    api.call(deploymentAnswer, 'GET', path),
    api.call(usageAnswer, 'GET', `/api/slipway/runs/${run.id}/usage`),
    cacheLineOf(api, path, run.steps),
  ]);
  return { ...run, operation: pulumiOperation, cache, samples };
}

/** The last line of the step that restores the cache says it. */
async function cacheLineOf(
  api: ApiClient,
  path: string,
  steps: readonly { readonly name: string }[],
): Promise<string | null> {
  const step = steps.findIndex(({ name }) => name === 'Restore cache');
  if (step === -1) return null;
  const { lines } = await api.call(stepLog, 'GET', `${path}/logs?job=0&step=${step}`);
  return (
    lines.map(({ line }) => line.trimEnd()).findLast((line) => /^Cache (not )?used: /.test(line)) ?? null
  );
}
