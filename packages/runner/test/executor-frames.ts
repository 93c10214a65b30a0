import type { FrameFromExecutor, StepStatus } from '@slipway/core';

/** What an executor says, as tests write it. */
export const plan = (...steps: string[]): FrameFromExecutor => ({ type: 'plan', steps });

export const step = (number: number, status: StepStatus): FrameFromExecutor => {
  return { type: 'step', step: number, status, timestamp: Date.now() };
};

export const line = (text: string, number = 0, timestamp = Date.now()): FrameFromExecutor => {
  return { type: 'log', step: number, lines: [text], timestamp };
};

/** Lines that are not sent, once the log is full. */
export const leftOut = (lines: number, number = 0): FrameFromExecutor => {
  return {
    type: 'log',
    step: number,
    lines: [],
    timestamp: Date.now(),
    leftOut: { lines, bytes: 100 * lines },
  };
};

export const succeeded: FrameFromExecutor = { type: 'result', outcome: 'succeeded' };
