import { randomUUID } from 'node:crypto';
import type { ClaimRequest, ClaimResponse } from '@slipway/core';
import type { PoolCalls } from '../control-plane-client/calls.ts';
import { patientBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import type { RunnerLog } from '../runner-options.ts';

const waitSeconds = 20;

/**
 * Waits until there is a run for this runner. A claim whose answer was lost is repeated with the same nonce and gets
 * the same run again, so that no run is held by nobody. Rejects with the reason of `signal`, or when the claim is
 * refused.
 */
export async function claimRun(
  calls: PoolCalls,
  request: Omit<ClaimRequest, 'nonce' | 'waitSeconds'>,
  options: { readonly signal: AbortSignal; readonly log: RunnerLog },
): Promise<ClaimResponse> {
  const { signal, log } = options;
  for (;;) {
    const nonce = randomUUID();
    const claimed = await untilAnswered(() => calls.claim({ ...request, nonce, waitSeconds }, signal), {
      signal,
      backOff: patientBackOff,
      failed: (error, tries) => log.warn({ err: error, tries }, 'No answer to a claim; trying again'),
    });
    if (claimed) return claimed;
  }
}
