import * as z from 'zod';
import type { ApiClient } from '../api-client.ts';
import { stackPath } from '../stack-path.ts';

const newest = z.object({ deployments: z.array(z.object({ id: z.uuid() })) });
const numbered = z.object({ id: z.uuid() });

/**
 * The id of the run that somebody names: by its id, as `organization/project/stack/number`, or by its stack, whose
 * newest one is meant then. Throws when it is none of them, or there is none.
 */
export async function idOfRun(api: ApiClient, name: string): Promise<string> {
  if (z.uuid().safeParse(name).success) return name;
  const [organization, project, stack, number, ...rest] = name.split('/');
  if (stack === undefined || rest.length > 0) {
    throw new Error(
      `"${name}" is not a run; give its id, organization/project/stack/number, or organization/project/stack for the newest one of a stack.`,
    );
  }
  const path = `/api/stacks/${stackPath(`${organization}/${project}/${stack}`)}/deployments`;
  if (number !== undefined) {
    const { id } = await api.call(numbered, 'GET', `${path}/version/${encodeURIComponent(number)}`);
    return id;
  }
  const { deployments } = await api.call(newest, 'GET', `${path}?pageSize=1`);
  const [first] = deployments;
  if (!first) throw new Error(`The stack "${name}" has had no run yet.`);
  return first.id;
}
