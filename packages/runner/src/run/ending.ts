import { type Cause, cause } from '@slipway/core';
import type { SandboxExit } from '../isolation/isolation.ts';

/** How a run ended, as the control plane will be told. */
export interface Ending {
  readonly outcome: 'succeeded' | 'failed';
  readonly cause?: Cause;
  /** Particulars: what failed, by name. */
  readonly message?: string;
}

/** Ends the run from wherever it is: a stop from outside, or a stage that cannot go on. */
export class RunEnded extends Error {
  override readonly name = 'RunEnded';
  readonly runCause: Cause;

  constructor(runCause: Cause, message: string) {
    super(message);
    this.runCause = runCause;
  }
}

/**
 * The ending that follows from an error of a stage. Typed errors carry their cause (`SandboxStartError`, an image that
 * is unavailable, `ProtocolViolation`, `RunEnded`); anything else is a fault of Slipway's own.
 */
export function endingOfError(error: unknown): Ending {
  const message = error instanceof Error ? error.message : String(error);
  return { outcome: 'failed', cause: causeOfError(error) ?? 'internal-error', message };
}

function causeOfError(error: unknown): Cause | undefined {
  if (!(error instanceof Error) || !('runCause' in error)) return undefined;
  return cause.safeParse(error.runCause).data;
}

/** The ending of a sandbox that is gone without the executor having given a result. */
export function endingOfExit(exit: SandboxExit): Ending {
  const how =
    exit.signal !== null
      ? `It was killed by ${exit.signal}.`
      : exit.exitCode !== null
        ? `It exited with code ${exit.exitCode}.`
        : '';
  return {
    outcome: 'failed',
    cause: exit.cause ?? 'executor-crashed',
    message: [exit.message, exit.cause ? '' : how].filter((part) => part !== '').join(' '),
  };
}

/**
 * The ending with what the sandbox knew besides. The executor sees only that a command of the run was killed or could
 * not write; the sandbox knows that a limit was the reason.
 */
export function refineEnding(ending: Ending, exit: SandboxExit | undefined): Ending {
  const sawOnlyFailure = ending.outcome === 'failed' && ending.cause === 'program-error';
  const knowsLimit = exit?.cause === 'out-of-memory' || exit?.cause === 'disk-full';
  if (!sawOnlyFailure || !knowsLimit || !exit.cause) return ending;
  const message = [exit.message, ending.message].filter((part) => part).join(' ');
  return { ...ending, cause: exit.cause, message };
}
