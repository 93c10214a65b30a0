import type { ControlPlane } from '../control-plane.ts';
import type { Access } from '../http/access.ts';
import { unauthorized } from '../http/errors.ts';
import { findPrincipal, type Principal, type UserPrincipal } from './principal.ts';

/** An access token of a user, or the job token of a run; who takes it checks that the stack is the run's own. */
export const userOrJobToken: Access<Principal> = { scheme: 'token', principalOf: principalOfToken };

/** An access token of a user. */
export const userToken: Access<UserPrincipal> = {
  scheme: 'token',
  principalOf: async (controlPlane, token) => {
    const principal = await principalOfToken(controlPlane, token);
    if (principal.kind !== 'user') throw unauthorized('A job token does not open this.');
    return principal;
  },
};

async function principalOfToken({ db }: ControlPlane, token: string): Promise<Principal> {
  const principal = await findPrincipal(db, token);
  if (!principal) throw unauthorized('Unauthorized: the access token is not known or has ended.');
  return principal;
}
