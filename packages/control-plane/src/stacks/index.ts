import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { checkpointRoutes } from './checkpoint-routes.ts';
import { eventRoutes } from './event-routes.ts';
import { historyRoutes } from './history-routes.ts';
import { secretRoutes } from './secret-routes.ts';
import { stackLifecycleRoutes } from './stack-routes.ts';
import { stateRoutes } from './state-routes.ts';
import { type UpdateRouteOptions, updateRoutes } from './update-routes.ts';

export { removeEvents } from './remove-events.ts';
export { removeUnstartedUpdates } from './remove-unstarted.ts';
export { findStack, openStack, type StackRecord, stackParams, stackPath } from './stack.ts';
export { endExpiredUpdates, endUpdatesOfRun } from './update.ts';
export { type UpdateRecord, updateInfo, updatesOfRun } from './update-info.ts';

/** The service API that the CLI needs of a state backend (Pulumi CLI pkg/backend/httpstate/client/api_endpoints.go). */
export function stackRoutes(
  app: FastifyInstance,
  controlPlane: ControlPlane,
  options: UpdateRouteOptions,
): void {
  stackLifecycleRoutes(app, controlPlane);
  stateRoutes(app, controlPlane);
  secretRoutes(app, controlPlane);
  updateRoutes(app, controlPlane, options);
  checkpointRoutes(app, controlPlane);
  eventRoutes(app, controlPlane);
  historyRoutes(app, controlPlane);
}
