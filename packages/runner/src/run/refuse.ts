import type { ClaimResponse } from '@slipway/core';
import { RunCalls } from '../control-plane-client/calls.ts';
import { promptBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import { endingOfError } from './ending.ts';
import type { RunnerContext } from './live-run.ts';

/**
 * Ends a run that this host cannot even hold: there is no place for its log. Nothing of it was begun. Rejects when the
 * control plane cannot be told; then the lease ends by itself.
 */
export async function refuseRun(
  { connection, options }: RunnerContext,
  { run, leaseToken, leaseSeconds }: ClaimResponse,
  error: unknown,
): Promise<void> {
  const { outcome, cause, message } = endingOfError(error);
  options.log.error({ err: error, runId: run.runId, cause }, 'A run could not be begun');
  const calls = new RunCalls(connection, leaseToken);
  const ending = {
    ...{ outcome, ...(cause && { cause }), ...(message && { message }) },
    ...{ phaseMilliseconds: {}, lastSequence: 0 },
  };
  await untilAnswered(() => calls.finish(ending), {
    signal: AbortSignal.timeout(leaseSeconds * 1000),
    backOff: promptBackOff,
  });
}
