import { describe, expect, test } from 'vitest';
import { defaultLeaseSeconds, hazardOf, type LeaseTiming, leaseTimingOf } from '../src/index.ts';

const usual = leaseTimingOf(defaultLeaseSeconds);

test('the usual lease is the one that SPECIFICATION.md promises', () => {
  expect(usual).toEqual({
    leaseSeconds: 30,
    heartbeatSeconds: 5,
    destroyBeforeEndSeconds: 5,
    freeAfterEndSeconds: 10,
    guestSilenceSeconds: 10,
  });
});

test('every lease that is granted is safe, and one that is not is refused with the reason', () => {
  const granted: number[] = [];
  for (let leaseSeconds = 0; leaseSeconds <= 400; leaseSeconds += 1) {
    try {
      expect(hazardOf(leaseTimingOf(leaseSeconds))).toBeUndefined();
      granted.push(leaseSeconds);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  expect(granted).toEqual(Array.from({ length: 295 }, (_, index) => index + 6));
  expect(() => leaseTimingOf(5)).toThrow(
    'A lease of 5 s is not safe: it would end before a sandbox is gone, which takes up to 1 s. ' +
      'Leases last 6 to 300 whole seconds; see --lease-seconds.',
  );
  for (const wrong of [301, 7.5, Number.NaN, Number.POSITIVE_INFINITY, -30])
    expect(() => leaseTimingOf(wrong)).toThrow(RangeError);
});

describe('a timing is a hazard', () => {
  const hazards: [string, Partial<LeaseTiming>, RegExp][] = [
    ['whose heartbeats leave no time for a lost one', { heartbeatSeconds: 9 }, /no time for two more/],
    [
      'that destroys too late to be done in time',
      { destroyBeforeEndSeconds: 0.5 },
      /before a sandbox is gone/,
    ],
    // 29 s of a slow clock are 31.9 s of the other one, and ending takes one more.
    [
      'that frees before a slow clock has destroyed',
      { destroyBeforeEndSeconds: 1, freeAfterEndSeconds: 1 },
      /clock is slow/,
    ],
    // The last word may come 25 s after the last renewal: 15 s of silence on top are 40 s at best.
    ['that frees before a guest left alone is off', { guestSilenceSeconds: 15 }, /cut off and then stops/],
    ['whose guests endure no pause', { guestSilenceSeconds: 0.5 }, /whenever its runner is busy/],
  ];
  test.each(hazards)('%s', (_what, change, reason) => {
    expect(hazardOf(usual)).toBeUndefined();
    expect(hazardOf({ ...usual, ...change })).toMatch(reason);
  });

  /** What the sentences above come down to, counted second by second rather than by the same formula. */
  test('whenever a sandbox could be alive at the moment at which the stack is given away', () => {
    for (const timing of [6, 12, 30, 300].map(leaseTimingOf)) {
      const { leaseSeconds, destroyBeforeEndSeconds, freeAfterEndSeconds, guestSilenceSeconds } = timing;
      for (const rate of [0.91, 1, 1.099]) {
        // By the control plane's clock, after the last call that it received; the others' seconds are `rate` long.
        const destroyed = (leaseSeconds - destroyBeforeEndSeconds) * rate;
        for (let stopped = 0; stopped <= destroyed; stopped += 0.5) {
          const poweredOff = stopped + guestSilenceSeconds * rate;
          expect(poweredOff + 1).toBeLessThanOrEqual(leaseSeconds + freeAfterEndSeconds);
        }
        expect(destroyed + 1).toBeLessThanOrEqual(leaseSeconds + freeAfterEndSeconds);
      }
    }
  });
});
