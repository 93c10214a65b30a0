import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import type { Workflows } from '../queue/index.ts';
import { clearCacheRoute } from './clear-route.ts';
import { cacheShareRoutes } from './share-routes.ts';
import { type SharedCache, sweepEntries } from './sweep.ts';

export { grantCache } from './grant.ts';
export { type SharedCache, sweepEntries } from './sweep.ts';

const sweepMilliseconds = 60 * 60 * 1000;

/** The dependency caches of projects: what runners share of them, and how they are cleared. */
export function dependencyCacheRoutes(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  workflows: Workflows,
  shared: SharedCache,
): void {
  clearCacheRoute(app, controlPlane, shared);
  cacheShareRoutes(app, controlPlane, workflows, shared);
  const sweep = () =>
    controlPlane.callsUnderWay
      .track(sweepEntries(controlPlane, shared))
      .catch((error: unknown) => controlPlane.log.error({ err: error }, 'Cache entries could not be swept'));
  const timer = setInterval(sweep, sweepMilliseconds);
  app.addHook('onReady', async () => void sweep());
  app.addHook('onClose', async () => clearInterval(timer));
}
