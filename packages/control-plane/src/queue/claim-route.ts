import type { ClaimRequest, ClaimResponse } from '@slipway/core';
import type { ControlPlane } from '../control-plane.ts';
import type { RunnerRecord } from '../pools/index.ts';
import { type Claim, claimRun } from './claim.ts';
import { deliveryTokenOf } from './claim-tokens.ts';
import { endRun } from './finish.ts';
import { noteCapacity } from './waiting.ts';
import type { WakeUp } from './wake-up.ts';
import { type Workflows, workflowOf } from './workflow.ts';

/** A waiting claim looks again this often by itself: a wake-up may be lost, and a lane that was locked passed over. */
const lookAgainMilliseconds = 3000;

export interface ClaimWaiting {
  readonly controlPlane: ControlPlane;
  readonly workflows: Workflows;
  readonly wakeUp: WakeUp;
}

/** Waits for a run, at most `waitSeconds`, or until `gone` (nobody reads the answer any more); undefined without one. */
export async function waitForClaim(
  { controlPlane, workflows, wakeUp }: ClaimWaiting,
  runner: RunnerRecord,
  request: ClaimRequest,
  gone: AbortSignal,
): Promise<ClaimResponse | undefined> {
  await noteCapacity(controlPlane.db, runner.id, request);
  const deadline = performance.now() + request.waitSeconds * 1000;
  for (;;) {
    const { generation } = wakeUp.claims;
    const claim = await claimRun(controlPlane, runner, request);
    if (claim) {
      const answer = await answerOf(controlPlane, workflows, claim);
      if (answer) return answer;
      continue;
    }
    const left = deadline - performance.now();
    if (left <= 0) return undefined;
    await wakeUp.claims.waitBeyond(generation, Math.min(left, lookAgainMilliseconds), gone);
    // A run claimed for nobody would wait until its lease ends.
    if (gone.aborted) return undefined;
  }
}

async function answerOf(
  { db, now, masterKey }: ControlPlane,
  workflows: Workflows,
  { run, leaseToken, claimId }: Claim,
): Promise<ClaimResponse | undefined> {
  const outline = await workflowOf(workflows, run).outline(db, run);
  if (outline) {
    const { leaseSeconds } = run;
    return { run: outline, leaseToken, leaseSeconds, deliveryToken: deliveryTokenOf(masterKey, claimId) };
  }
  await db.transaction().execute(async (tx) => {
    const message = 'The stack was removed before a runner could begin.';
    await endRun(tx, run.id, { outcome: 'skipped', message, endedBy: 'queue' }, now());
  });
  return undefined;
}
