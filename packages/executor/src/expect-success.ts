import type { ExecutorCause } from '@slipway/core';
import type { CommandEnd } from './command.ts';
import { StepFailure } from './step.ts';

/**
 * Throws a `StepFailure` unless the command succeeded. Its cause is `usualCause` unless the end of the command shows
 * that something ran out: memory, processes, the volume. `advice` is a sentence for the end of the message.
 */
export function expectSuccess(
  end: CommandEnd,
  what: string,
  usualCause: ExecutorCause,
  advice?: string,
): void {
  if (end.exitCode === 0) return;
  const outcome =
    end.exitCode === null ? `was ended by ${end.signal}` : `failed with exit code ${end.exitCode}`;
  if (!end.shortage) {
    throw new StepFailure(usualCause, `${what} ${outcome}.${advice === undefined ? '' : ` ${advice}`}`);
  }
  const { cause, explanation } = end.shortage;
  throw new StepFailure(cause, `${what} ${outcome}: ${explanation}`);
}
