import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';

/** Agent pools of an organization, as Pulumi's REST API has them. */
export function poolRoutes(_app: FastifyInstance, _controlPlane: ControlPlane): void {}
