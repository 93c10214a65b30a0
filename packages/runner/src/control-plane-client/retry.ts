import { setTimeout as delay } from 'node:timers/promises';
import { ControlPlaneUnavailable } from './failures.ts';

/** How long to wait between tries: from `firstMilliseconds` on, doubled each time, never above `mostMilliseconds`. */
export interface BackOff {
  readonly firstMilliseconds: number;
  readonly mostMilliseconds: number;
}

/** For calls that keep a run alive: a control plane that restarts is back within seconds. */
export const promptBackOff: BackOff = { firstMilliseconds: 100, mostMilliseconds: 2_000 };
/** For calls that can wait: many runners must not meet a control plane that comes up all at once. */
export const patientBackOff: BackOff = { firstMilliseconds: 250, mostMilliseconds: 15_000 };

/**
 * Repeats `call` until the control plane answers. Rejects with the call's error when it is an answer (a refusal), and
 * with the reason of `signal` when that is aborted first. `failed` hears of each try that got no answer.
 */
export async function untilAnswered<T>(
  call: () => Promise<T>,
  options: {
    readonly signal: AbortSignal;
    readonly backOff: BackOff;
    readonly failed?: (error: ControlPlaneUnavailable, tries: number) => void;
  },
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    options.signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof ControlPlaneUnavailable)) throw error;
      options.failed?.(error, tries);
    }
    await pause(waitMilliseconds(options.backOff, tries, Math.random()), options.signal);
  }
}

/** The wait after the `tries`-th failure; `chance` (0 to 1) spreads it over its upper half, so that runners do not march in step. */
export function waitMilliseconds(backOff: BackOff, tries: number, chance: number): number {
  const whole = Math.min(backOff.mostMilliseconds, backOff.firstMilliseconds * 2 ** Math.min(tries - 1, 20));
  return whole * (0.5 + chance / 2);
}

/** Waits; rejects with the reason of `signal` as soon as it is aborted. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}
