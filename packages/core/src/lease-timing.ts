/**
 * For how long a run may be held without a sign of life, and all that follows from it. In seconds, each counted by the
 * monotonic clock of whoever counts.
 */
export interface LeaseTiming {
  /** A run is its runner's for this long after the last call that the control plane received. */
  readonly leaseSeconds: number;
  /** The runner renews the lease this often … */
  readonly heartbeatSeconds: number;
  /** … destroys the sandbox this long before a lease ends that it could not renew … */
  readonly destroyBeforeEndSeconds: number;
  /** … and the control plane gives the stack away this long after it ended. */
  readonly freeAfterEndSeconds: number;
  /** A guest powers itself off after this long without a word from its runner. */
  readonly guestSilenceSeconds: number;
}

export const defaultLeaseSeconds = 30;

/** The clocks of runner, guest and control plane may show different times, but a second of one is less than this of another. */
const clockRateRatio = 1.1;
/** A sandbox that is told to end is gone within this (SPECIFICATION.md). */
const endingSeconds = 1;
/** A guest that is left alone need not live longer, however long the lease is. */
const longestGuestSilenceSeconds = 15;
const longestLeaseSeconds = 300;
/** For the user: what is shorter is a hazard. */
const shortestLeaseSeconds = 6;

/** The timing of a lease of so many seconds. Throws a `RangeError` that says why where such a lease is not safe. */
export function leaseTimingOf(leaseSeconds: number): LeaseTiming {
  const remedy = `Leases last ${shortestLeaseSeconds} to ${longestLeaseSeconds} whole seconds; see --lease-seconds.`;
  if (!Number.isInteger(leaseSeconds) || leaseSeconds > longestLeaseSeconds)
    throw new RangeError(`A lease cannot last ${leaseSeconds} s. ${remedy}`);
  const destroyBeforeEndSeconds = leaseSeconds / 6;
  const freeAfterEndSeconds = leaseSeconds / 3;
  /** The longest silence with which a guest is off in time that heard its last word as late as that can be. */
  const safeSilenceSeconds =
    (leaseSeconds + freeAfterEndSeconds - endingSeconds) / clockRateRatio -
    (leaseSeconds - destroyBeforeEndSeconds);
  const timing = {
    leaseSeconds,
    heartbeatSeconds: leaseSeconds / 6,
    destroyBeforeEndSeconds,
    freeAfterEndSeconds,
    guestSilenceSeconds: Math.min(longestGuestSilenceSeconds, Math.floor(safeSilenceSeconds)),
  };
  const hazard = hazardOf(timing);
  if (hazard !== undefined)
    throw new RangeError(`A lease of ${leaseSeconds} s is not safe: ${hazard}. ${remedy}`);
  return timing;
}

/**
 * What could go wrong with a timing, as the end of a sentence; undefined where nothing can: at most one sandbox works on
 * a stack at any time, whatever one failure cuts off, stops or slows down, and a single lost call costs no run.
 */
export function hazardOf(timing: LeaseTiming): string | undefined {
  const { leaseSeconds, heartbeatSeconds, destroyBeforeEndSeconds, guestSilenceSeconds } = timing;
  const destroyAfterSeconds = leaseSeconds - destroyBeforeEndSeconds;
  /** No earlier than this after the last call that was received the stack is another's. */
  const freeAfterSeconds = leaseSeconds + timing.freeAfterEndSeconds;
  const goneAfterSeconds = (told: number) => told * clockRateRatio + endingSeconds;

  if (heartbeatSeconds * 3 > destroyAfterSeconds)
    return 'after a heartbeat that is lost there would be no time for two more';
  if (destroyBeforeEndSeconds < endingSeconds)
    return `it would end before a sandbox is gone, which takes up to ${endingSeconds} s`;
  if (goneAfterSeconds(destroyAfterSeconds) > freeAfterSeconds)
    return 'a runner whose clock is slow would destroy its sandbox when the stack is another’s already';
  // The runner spoke to its guest until the moment at which it would have destroyed it.
  if (goneAfterSeconds(destroyAfterSeconds + guestSilenceSeconds) > freeAfterSeconds)
    return 'the guest of a runner that is cut off and then stops would still work when the stack is another’s';
  if (guestSilenceSeconds < 1) return 'a guest would power itself off whenever its runner is busy';
  return undefined;
}
