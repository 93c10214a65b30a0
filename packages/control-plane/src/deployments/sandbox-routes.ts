import { sandboxObjections, sandboxSettings } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { poolOfRun, sandboxSettingsOfPool } from '../pools/index.ts';
import { openStack, type StackRecord, stackParams } from '../stacks/index.ts';
import { grantSandbox, sandboxSettingsOfStack, setSandboxSettingsOfStack } from './sandbox-settings.ts';
import { findSettings } from './settings.ts';

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
    const pool = await poolOf(stack);
    const objections = sandboxObjections(await sandboxSettingsOfPool(db, pool.id), call.body);
    if (objections.length > 0) {
      const remedy = `Ask for less, or raise the maximum of the pool "${pool.name}".`;
      throw badRequest(`Bad Request: ${objections.join('; ')}. ${remedy}`);
    }
    await setSandboxSettingsOfStack(db, stack.id, call.body);
    return answerFor(stack);
  });

  async function answerFor(stack: StackRecord) {
    const { id, name } = await poolOf(stack);
    return {
      settings: await sandboxSettingsOfStack(db, stack.id),
      effective: await grantSandbox(db, id, stack.id),
      pool: { id, name },
    };
  }

  /** The pool that runs of the stack go to, as its settings are now. */
  async function poolOf(stack: StackRecord) {
    const revision = await findSettings(db, stack.id);
    const pool = await poolOfRun(db, stack.organization, revision?.settings.agentPoolID);
    if (!pool)
      throw notFound(`Not Found: the organization "${stack.organization}" has no default pool of runners.`);
    return pool;
  }
}
