import { stackIdentity } from '@slipway/core';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { notFound } from '../http/errors.ts';
import type { Principal } from '../identity/index.ts';
import { openStack } from '../stacks/index.ts';
import { type DeploymentRecord, findDeployment } from './record.ts';

/** Path parameters of calls about one deployment. */
export const deploymentPath = stackIdentity.extend({ deploymentId: z.string().max(100) });
export const deploymentVersionPath = stackIdentity.extend({
  version: z.coerce.number().int().min(1).max(2_147_483_647),
});

/** The deployment that a path names, by id or version. Throws 404. */
export async function openDeployment(
  controlPlane: ControlPlane,
  principal: Principal,
  path: z.infer<typeof deploymentPath> | z.infer<typeof deploymentVersionPath>,
): Promise<DeploymentRecord> {
  const stack = await openStack(controlPlane, principal, path);
  const reference = 'version' in path ? { version: path.version } : { id: path.deploymentId };
  const deployment = await findDeployment(controlPlane.db, stack.id, reference);
  if (deployment) return deployment;
  const name = 'version' in path ? `#${path.version}` : path.deploymentId;
  throw notFound(
    `Not Found: the stack has no deployment ${name}. \`pulumi deployment list\` shows those it has.`,
  );
}
