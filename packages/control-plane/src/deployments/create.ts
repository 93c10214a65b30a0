import {
  deploymentRequest,
  formatStackIdentity,
  type Json,
  type JsonObject,
  type Operation,
  type Platform,
  settingsOfDeployment,
  withoutEmpty,
} from '@slipway/core';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { poolOfRun } from '../pools/index.ts';
import { enqueueRun } from '../queue/index.ts';
import type { StackRecord } from '../stacks/index.ts';
import { grantSandbox } from './sandbox-settings.ts';
import { checkSettings, findSettings, sealedSettings } from './settings.ts';
import { repositoryUrl } from './source.ts';

/** Runners and executor images have one platform today. */
const platform: Platform = 'linux/amd64';

export interface Requester {
  readonly userId: string;
  /** What made the request: `api`, or what the client calls itself. */
  readonly initiator: string;
}

/** Queues a deployment of a stack, its settings merged and frozen. Throws 400 with what is missing, and how to set it. */
export async function createDeployment(
  controlPlane: ControlPlane,
  stack: StackRecord,
  body: JsonObject,
  requester: Requester,
): Promise<{ id: string; version: number }> {
  const { operation, inherits } = operationOf(body);
  const request = sealedSettings(controlPlane, stack, withoutEmpty(body));
  return controlPlane.db.transaction().execute(async (tx) => {
    const stored = inherits ? await findSettings(tx, stack.id) : undefined;
    const settings = settingsOfDeployment(stored?.settings ?? {}, request, inherits);
    await checkSettings(tx, stack, settings);
    if (repositoryUrl(settings) === undefined)
      throw noRepository(stack, settings.sourceContext?.template != null);

    const pool = await poolOfRun(tx, stack.organization, settings.agentPoolID);
    if (!pool) {
      throw badRequest(
        `Bad Request: the organization "${stack.organization}" has no default pool of runners.`,
      );
    }
    const run = await enqueueRun(tx, {
      workflow: 'deployment',
      laneId: stack.id,
      poolId: pool.id,
      platform,
      sandbox: await grantSandbox(tx, pool.id, stack.id),
      caches: settings.cacheOptions?.enable ?? false,
    });
    await tx
      .insertInto('deployments')
      .values({
        id: run.id,
        stack_id: stack.id,
        version: run.number,
        operation,
        settings: JSON.stringify(settings),
        requested_by: requester.userId,
        initiator: requester.initiator,
        sealed_job_token: null,
      })
      .execute();
    return { id: run.id, version: run.number };
  });
}

/** The operation stands at the top of the request, and nowhere else; the CLI sends an empty one inside as well. */
function operationOf(body: Json): { operation: Operation; inherits: boolean } {
  const parsed = deploymentRequest.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const name = issue?.path.join('.');
    throw badRequest(
      name === 'operation'
        ? 'Bad Request: the top-level field "operation" must be one of update, preview, refresh, destroy, detect-drift, remediate-drift.'
        : `Bad Request: invalid body at "${name}": ${issue?.message}`,
    );
  }
  if (parsed.data.operationContext?.operation) {
    throw badRequest(
      'Bad Request: "operation" must only be set at the top level, not in "operationContext".',
    );
  }
  return { operation: parsed.data.operation, inherits: parsed.data.inheritSettings ?? true };
}

function noRepository(stack: StackRecord, hasTemplate: boolean) {
  const name = formatStackIdentity(stack);
  return badRequest(
    hasTemplate
      ? `Bad Request: the stack ${name} is set to deploy from a template, and this server deploys from git repositories: set one with \`pulumi deployment settings edit --git-url <url>\`.`
      : `Bad Request: no git repository is configured for the stack ${name}: set one with \`pulumi deployment settings edit --git-url <url>\`, or name it in the request (\`pulumi deployment run <operation> <url>\`).`,
  );
}
