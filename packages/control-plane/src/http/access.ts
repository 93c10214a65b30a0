import type { FastifyRequest } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { unauthorized } from './errors.ts';

/**
 * The credential that a route asks for, and whom it stands for. Each kind belongs to the slice that gives it out:
 * `userToken` and `userOrJobToken` to identity, `poolToken` to pools, `leaseToken` and `deliveryToken` to queue, `updateToken` to stacks.
 */
export interface Access<Principal> {
  /** Of `Authorization: <scheme> <token>`; undefined where no credential is asked for. */
  readonly scheme: 'token' | 'lease' | 'delivery' | 'update-token' | undefined;
  /** Throws (401, mostly) when the token opens nothing. Asked before the body of the call is read. */
  principalOf(controlPlane: ControlPlane, token: string, request: FastifyRequest): Promise<Principal>;
}

/** No credential. */
export const anybody: Access<undefined> = { scheme: undefined, principalOf: async () => undefined };

/** The token that a call carries in this scheme; empty without a scheme. Throws 401 when it carries none. */
export function bearerOf(request: FastifyRequest, scheme: Access<unknown>['scheme']): string {
  if (scheme === undefined) return '';
  const header = request.headers.authorization ?? '';
  const [given, token] = header.split(' ', 2);
  if (given?.toLowerCase() !== scheme || !token) {
    throw unauthorized(`Unauthorized: this call needs the header "Authorization: ${scheme} …".`);
  }
  return token;
}
