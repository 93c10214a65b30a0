import { type Cause, cause, type SandboxSize } from '@slipway/core';
import { isDiskFullError } from '../host-disk.ts';
import type { SandboxExit } from '../isolation/isolation.ts';
import { describeVolume, type Explanation, explainMemory, type Shortages } from '../isolation/shortages.ts';

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
 * is unavailable, `ProtocolViolation`, `RunEnded`); whatever else fails on a full disk fails for that, and the rest is a
 * fault of Slipway's own.
 */
export function endingOfError(error: unknown): Ending {
  const message = error instanceof Error ? error.message : String(error);
  const untyped = isDiskFullError(error) ? 'host-disk-full' : 'internal-error';
  return { outcome: 'failed', cause: causeOfError(error) ?? untyped, message };
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

/** Causes of which the sandbox knows more than the executor, which sees only how a command ended. */
export function sandboxKnowsMore({ cause }: Ending): boolean {
  return cause === 'out-of-memory' || cause === 'disk-full' || cause === 'inodes-exhausted';
}

/** Causes that a full disk of the host can have had: something failed, and nothing else tells why. */
export function hostMayKnowMore({ cause }: Ending): boolean {
  return (
    cause === 'program-error' ||
    cause === 'dependencies-failed' ||
    cause === 'source-unavailable' ||
    cause === 'executor-crashed' ||
    cause === 'sandbox-failed' ||
    cause === 'internal-error'
  );
}

/** The ending that the executor told, with what the sandbox's kernel tells besides: which process, how much, where. */
export function refineEnding(ending: Ending, { memory, volume }: Shortages, size: SandboxSize): Ending {
  switch (ending.cause) {
    case 'out-of-memory':
      return memory ? refined(ending, explainMemory(memory, size)) : ending;
    case 'disk-full':
    case 'inodes-exhausted': {
      const { cause } = ending;
      return volume ? refined(ending, { cause, message: describeVolume(cause, volume, size) }) : ending;
    }
    default:
      return ending;
  }
}

function refined(ending: Ending, { cause, message }: Explanation): Ending {
  return { ...ending, cause, message: [ending.message, message].filter((part) => part).join(' ') };
}
