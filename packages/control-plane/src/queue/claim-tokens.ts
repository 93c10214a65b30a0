import { createHmac } from 'node:crypto';

/*
 * The tokens of a claim follow from it, so that a claim whose answer was lost is answered the same ones again, and yet
 * only their hashes are kept.
 */

/** Carried by every call of the runner that holds the run. */
export function leaseTokenOf(masterKey: Buffer, claimId: string): string {
  return `slp-lease-${derived(masterKey, 'lease token', claimId)}`;
}

/** Opens nothing but the delivery of the run's last lines by a runner that was lost. */
export function deliveryTokenOf(masterKey: Buffer, claimId: string): string {
  return `slp-delivery-${derived(masterKey, 'delivery token', claimId)}`;
}

function derived(masterKey: Buffer, purpose: string, claimId: string): string {
  return createHmac('sha256', masterKey).update(`${purpose}\0${claimId}`).digest('hex');
}
