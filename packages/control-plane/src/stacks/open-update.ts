import { z } from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import type { Access } from '../http/access.ts';
import { forbidden, notFound } from '../http/errors.ts';
import { parse } from '../http/parse.ts';
import type { Principal } from '../identity/index.ts';
import { isMadeHere, type Lease, type LeasedUpdate, updateOfLease } from './lease.ts';
import { openStack, stackParams, stackPath } from './stack.ts';

/** Path of an update in the API, and its parameters. Whatever its kind, it is called `update` here. */
export const updatePath = `${stackPath}/update/:updateId`;
export const updateParams = stackParams.extend({ updateId: z.uuid() });
type UpdateParams = z.infer<typeof updateParams>;

/** The update of a stack that the caller may open. Throws 404. */
export async function openUpdate(controlPlane: ControlPlane, principal: Principal, params: UpdateParams) {
  const stack = await openStack(controlPlane, principal, params);
  const update = await controlPlane.db
    .selectFrom('updates')
    .select(['id', 'is_preview as isPreview', 'state', 'result', 'stack_id as stackId'])
    .where('id', '=', params.updateId)
    .where('stack_id', '=', stack.id)
    .executeTakeFirst();
  if (!update) throw notFound(`Not Found: Update '${params.updateId}'`);
  return update;
}

/** The token with which the CLI writes for its update, running or over. Throws 403: the CLI then stops at once. */
export const updateToken: Access<LeasedUpdate> = {
  scheme: 'update-token',
  principalOf: async ({ db }, token, request) => {
    const { updateId } = parse('path', updateParams, request.params);
    const update = await updateOfLease(db, { updateId, token });
    if (!update) throw leaseLost();
    return update;
  },
};

/** The same, while the update is running. */
export const runningUpdateToken: Access<LeasedUpdate> = {
  scheme: 'update-token',
  principalOf: async (controlPlane, token, request) => {
    const update = await updateToken.principalOf(controlPlane, token, request);
    if (!update.running) throw leaseLost();
    return update;
  },
};

/**
 * The lease of an update for its state. Whether it holds is looked at by the statement that writes: a token of our own
 * making is enough to read the body.
 */
export const leaseToken: Access<Lease> = {
  scheme: 'update-token',
  principalOf: async (controlPlane, token, request) => {
    const { updateId } = parse('path', updateParams, request.params);
    const lease = { updateId, token };
    if (!isMadeHere(controlPlane.masterKey, lease))
      await runningUpdateToken.principalOf(controlPlane, token, request);
    return lease;
  },
};

/** Throws where a lease may not write the state of its update, and says why. */
export async function mustWrite({ db }: ControlPlane, lease: Lease): Promise<void> {
  const update = await updateOfLease(db, lease);
  if (!update?.running) throw leaseLost();
  if (update.isPreview) throw forbidden('Forbidden: a preview does not change the state.');
}

/** What a CLI reads when its update is over: it then stops at once. */
export function leaseLost() {
  return forbidden('Forbidden: this update is over; it was cancelled, or its lease ended.');
}
