import { cause, deploymentStatus, operation } from '@slipway/core';
import * as z from 'zod';
import type { ApiClient } from '../api-client.ts';
import { stackPath } from '../stack-path.ts';

const time = z.iso.datetime();
const listedRun = z.object({
  id: z.uuid(),
  stack: z.string(),
  number: z.number(),
  operation,
  status: deploymentStatus,
  cause: cause.nullable(),
  createdAt: time,
});
const list = z.object({
  runs: z.array(listedRun.extend({ startedAt: time.nullable(), modifiedAt: time })),
});

/** One run of a list. */
export type ListedRun = z.infer<typeof listedRun> & {
  /** From its start to its end, or until it last told something; null before it has started. */
  readonly milliseconds: number | null;
};

/** The newest runs of a stack, or of all organizations of the user. */
export async function newestRuns(
  api: ApiClient,
  stack: string | undefined,
  limit: number,
): Promise<ListedRun[]> {
  const path = stack === undefined ? '' : `/stacks/${stackPath(stack)}`;
  const { runs } = await api.call(list, 'GET', `/api/slipway${path}/runs?limit=${limit}`);
  return runs.map(({ startedAt, modifiedAt, ...run }) => ({
    ...run,
    milliseconds: startedAt === null ? null : Date.parse(modifiedAt) - Date.parse(startedAt),
  }));
}
