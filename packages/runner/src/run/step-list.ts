import type { StepReport, StepStatus } from '@slipway/core';

/** Name of the first step, which is the runner's own: everything until the executor has its job. */
export const setupStepName = 'Setup';

/** The steps of a run as they are reported: `Setup`, then the executor's. Those that did not start have no times. */
export class StepList {
  readonly #steps: StepReport[] = [notStarted(setupStepName)];

  get reports(): readonly StepReport[] {
    return this.#steps;
  }

  /** The executor's steps, in order. They follow `Setup`, so that its step 0 is step 1 of the run. */
  plan(names: readonly string[]): void {
    this.#steps.splice(1, Number.POSITIVE_INFINITY, ...names.map(notStarted));
  }

  nameOf(step: number): string {
    return this.#steps[step]?.name ?? '';
  }

  move(step: number, status: StepStatus, timestamp: string): void {
    const known = this.#steps[step];
    if (!known || status === 'not-started') return;
    this.#steps[step] = {
      ...known,
      status,
      startedAt: known.startedAt ?? timestamp,
      updatedAt: timestamp,
    };
  }

  /** The run is over: a step that was still running ended with it. */
  endRunning(status: 'failed' | 'succeeded', timestamp: string): void {
    for (const [step, { status: current }] of this.#steps.entries()) {
      if (current === 'running') this.move(step, status, timestamp);
    }
  }
}

function notStarted(name: string): StepReport {
  return { name, status: 'not-started', startedAt: null, updatedAt: null };
}
