import { type FrameFromExecutor, ProtocolViolation, type StepStatus } from '@slipway/core';

/** Clocks in sandboxes are set from the host's; a user may move them, a day is more than any mistake of a time zone. */
const maximumClockDifferenceMilliseconds = 24 * 60 * 60 * 1000;

/**
 * What an executor may say after it got its job, and in which order: one plan; then steps of that plan, each from
 * `not-started` over `running` to its end, and lines of them, all of them until the log is full; one result, and nothing
 * after it. A sandbox is hostile: anything else is a `ProtocolViolation`.
 */
export class Conversation {
  #statuses: StepStatus[] | undefined;
  #hasResult = false;
  #mayLeaveOut = false;

  /** Whether the executor need not send all lines any more. */
  get mayLeaveOut(): boolean {
    return this.#mayLeaveOut;
  }

  /** The executor was told that the log is full. */
  logIsFull(): void {
    this.#mayLeaveOut = true;
  }

  /** Throws `ProtocolViolation` when `frame` may not come now. `now`: the host's wall clock in milliseconds. */
  check(frame: FrameFromExecutor, now: number): void {
    if (this.#hasResult) throw new ProtocolViolation(`the executor sent "${frame.type}" after its result`);
    switch (frame.type) {
      case 'ready':
        throw new ProtocolViolation('the executor said "ready" twice');
      case 'plan':
        if (this.#statuses) throw new ProtocolViolation('the executor sent two plans');
        this.#statuses = frame.steps.map(() => 'not-started');
        return;
      case 'step':
        checkTimestamp(frame.timestamp, now);
        this.#moveStep(frame.step, frame.status);
        return;
      case 'log':
        checkTimestamp(frame.timestamp, now);
        this.#statusOf(frame.step);
        if (frame.leftOut && !this.#mayLeaveOut)
          throw new ProtocolViolation('the executor left out lines of a log that was not full');
        return;
      case 'cache-restore':
      case 'cache-read':
      case 'cache-unusable':
      case 'cache-save':
      case 'cache-write':
        if (!this.#statuses) throw new ProtocolViolation('the executor spoke of the cache before its plan');
        return;
      case 'result':
        this.#hasResult = true;
    }
  }

  #statusOf(step: number): StepStatus {
    if (!this.#statuses) throw new ProtocolViolation('the executor spoke of a step before its plan');
    const status = this.#statuses[step];
    if (status === undefined) {
      throw new ProtocolViolation(
        `the executor spoke of step ${step}; its plan has ${this.#statuses.length} steps`,
      );
    }
    return status;
  }

  #moveStep(step: number, next: StepStatus): void {
    const current = this.#statusOf(step);
    const allowed =
      current === 'not-started'
        ? next === 'not-started' || next === 'running'
        : current === 'running' && (next === 'succeeded' || next === 'failed');
    if (!allowed) throw new ProtocolViolation(`the executor moved step ${step} from ${current} to ${next}`);
    if (this.#statuses) this.#statuses[step] = next;
  }
}

function checkTimestamp(timestamp: number, now: number): void {
  if (Math.abs(timestamp - now) > maximumClockDifferenceMilliseconds)
    throw new ProtocolViolation(`the timestamp ${timestamp} is more than a day away from the runner's clock`);
}
