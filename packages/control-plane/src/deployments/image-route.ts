import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { imageFailuresInPool } from '../pools/index.ts';
import { openStack, stackParams } from '../stacks/index.ts';
import { imageOfStack } from './images.ts';
import { poolOfStack } from './pool-of-stack.ts';

const path = '/api/slipway/stacks/:organization/:project/:stack/executor-image';

/**
 * The executor image that the settings of a stack name, and why runners of its pool could not make it ready: those that
 * are there now, in their own words. A runner that is not among them has it, or has not come to it yet.
 */
export function stackImageRoute(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;
  route(
    app,
    controlPlane,
    { method: 'GET', path, access: userToken, params: stackParams },
    async ({ principal, params }) => {
      const stack = await openStack(controlPlane, principal, params);
      const image = await imageOfStack(controlPlane, stack.id);
      if (!image) return { reference: null, failures: [] };
      const pool = await poolOfStack(db, stack);
      return { reference: image.reference, failures: await imageFailuresInPool(db, pool.id, image.id) };
    },
  );
}
