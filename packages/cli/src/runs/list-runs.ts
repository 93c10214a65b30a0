import {
  type Cause,
  type DeploymentStatus,
  deploymentStatus,
  type Operation,
  operation,
} from '@slipway/core';
import * as z from 'zod';
import type { ApiClient } from '../api-client.ts';
import { stackPath } from '../stack-path.ts';
import { runOfId } from './run-facts.ts';

/** One run of a list. */
export interface ListedRun {
  readonly id: string;
  readonly stack: string;
  readonly number: number;
  readonly operation: Operation;
  readonly status: DeploymentStatus;
  readonly cause: Cause | null;
  readonly createdAt: string;
  /** From its start to its end, or until it last told something; null before it has started. */
  readonly milliseconds: number | null;
}

const sqlTime = z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);
const list = z.object({
  deployments: z.array(
    z.object({
      id: z.uuid(),
      version: z.number(),
      projectName: z.string(),
      stackName: z.string(),
      pulumiOperation: operation,
      status: deploymentStatus,
      created: sqlTime,
      jobs: z.array(z.object({ started: z.iso.datetime().optional(), lastUpdated: z.iso.datetime() })),
    }),
  ),
});
const user = z.object({ organizations: z.array(z.object({ githubLogin: z.string() })) });

/** The newest runs of a stack, or of all organizations of the user. */
export async function newestRuns(
  api: ApiClient,
  stack: string | undefined,
  limit: number,
): Promise<ListedRun[]> {
  const scopes =
    stack === undefined
      ? (await organizationsOf(api)).map((name) => ({
          organization: name,
          path: `/api/orgs/${encodeURIComponent(name)}`,
        }))
      : [{ organization: stack.split('/')[0] ?? '', path: `/api/stacks/${stackPath(stack)}` }];
  const lists = await Promise.all(
    scopes.map(async ({ organization, path }) => {
      const { deployments } = await api.call(list, 'GET', `${path}/deployments?pageSize=${limit}`);
      return deployments.map((deployment) => ({ organization, ...deployment }));
    }),
  );
  const newest = lists
    .flat()
    .sort((one, other) => other.created.localeCompare(one.created))
    .slice(0, limit);
  return Promise.all(
    newest.map(async ({ organization, id, version, projectName, stackName, jobs, ...deployment }) => ({
      id,
      stack: `${organization}/${projectName}/${stackName}`,
      number: version,
      operation: deployment.pulumiOperation,
      status: deployment.status,
      // Pulumi's API has no place for it.
      cause: ['failed', 'skipped'].includes(deployment.status) ? (await runOfId(api, id)).cause : null,
      createdAt: `${deployment.created.replace(' ', 'T')}Z`,
      milliseconds: millisecondsOf(jobs[0]),
    })),
  );
}

async function organizationsOf(api: ApiClient): Promise<string[]> {
  const { organizations } = await api.call(user, 'GET', '/api/user');
  return organizations.map(({ githubLogin }) => githubLogin);
}

function millisecondsOf(
  job: { started?: string | undefined; lastUpdated: string } | undefined,
): number | null {
  return job?.started === undefined ? null : Date.parse(job.lastUpdated) - Date.parse(job.started);
}
