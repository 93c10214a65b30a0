import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import type { ControlPlane } from '../control-plane.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { openStack, stackParams, stackPath } from '../stacks/index.ts';
import { type SharedCache, sweepEntries } from './sweep.ts';

/** The dependency cache of a project, as Pulumi's REST API has it: it can only be cleared. */
export function clearCacheRoute(app: FastifyInstance, controlPlane: ControlPlane, shared: SharedCache): void {
  const path = `${stackPath}/deployments/cache`;
  route(
    app,
    controlPlane,
    { method: 'DELETE', path, access: userToken, params: stackParams, status: 200 },
    async (call) => {
      const { projectId } = await openStack(controlPlane, call.principal, call.params);
      await sql`
        INSERT INTO dependency_caches (project_id, generation) VALUES (${projectId}, 2)
        ON CONFLICT (project_id) DO UPDATE SET generation = dependency_caches.generation + 1`.execute(
        controlPlane.db,
      );
      await sweepEntries(controlPlane, shared);
    },
  );
}
