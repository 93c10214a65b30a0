import { sandboxObjections, sandboxSettings } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { sandboxSettingsOfPool } from '../pools/index.ts';
import { openStack, type StackRecord, stackParams } from '../stacks/index.ts';
import { poolOfStack } from './pool-of-stack.ts';
import { grantSandbox, sandboxSettingsOfStack, setSandboxSettingsOfStack } from './sandbox-settings.ts';

const path = '/api/slipway/stacks/:organization/:project/:stack/sandbox';
const params = stackParams;
const access = userToken;

/** What a stack wishes of its runs' sandboxes, and what it gets of its pool. */
export function stackSandboxRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  route(app, controlPlane, { method: 'GET', path, access, params }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    return answerFor(stack);
  });

  const body = sandboxSettings;
  route(app, controlPlane, { method: 'PUT', path, access, params, body }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    const pool = await poolOfStack(db, stack);
    const objections = sandboxObjections(await sandboxSettingsOfPool(db, pool.id), call.body);
    if (objections.length > 0) {
      const remedy = `Ask for less, or raise the maximum of the pool "${pool.name}".`;
      throw badRequest(`Bad Request: ${objections.join('; ')}. ${remedy}`);
    }
    await setSandboxSettingsOfStack(db, stack.id, call.body);
    return answerFor(stack);
  });

  async function answerFor(stack: StackRecord) {
    const { id, name } = await poolOfStack(db, stack);
    return {
      settings: await sandboxSettingsOfStack(db, stack.id),
      effective: await grantSandbox(db, id, stack.id),
      pool: { id, name },
    };
  }
}
