import type { RunState } from '@slipway/core';
import type { Ending } from './finish.ts';

/** How often a run that was lost before its job was handed out is queued again. */
export const maximumRequeues = 3;

/** What becomes of a run whose runner gave no sign of life. */
export type Recovery = { readonly kind: 'requeue' } | ({ readonly kind: 'end' } & Ending);

export interface LostRun {
  readonly state: RunState;
  /** How often it was claimed, the lost claim included. */
  readonly claims: number;
  readonly cancelRequestedAt: Date | null;
}

/**
 * A run whose job was not handed out has done nothing, so another runner may have it. One that was running may have
 * changed the world, so it is never run again by itself.
 */
export function recoveryOf({ state, claims, cancelRequestedAt }: LostRun): Recovery {
  if (state === 'claimed' && cancelRequestedAt) {
    return { kind: 'end', outcome: 'failed', cause: 'cancelled', endedBy: 'recovery' };
  }
  if (state === 'claimed' && claims <= maximumRequeues) return { kind: 'requeue' };
  const message =
    state === 'claimed'
      ? `It had not begun the run; ${claims} runners were lost one after the other.`
      : 'What the run had begun may be half done.';
  return { kind: 'end', outcome: 'failed', cause: 'runner-lost', message, endedBy: 'recovery' };
}
