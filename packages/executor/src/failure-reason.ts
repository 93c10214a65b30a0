import type { Cause } from '@slipway/core';
import type { CommandEnd } from './command.ts';
import { StepFailure } from './step.ts';

const killedExitCode = 128 + 9;
const heapExhausted = /JavaScript heap out of memory|FATAL ERROR: .*Allocation failed/;
const allocationRefused = /Cannot allocate memory|fatal error: runtime: out of memory|\bENOMEM\b/;
const volumeFull = /No space left on device|\bENOSPC\b/;

/**
 * Throws a `StepFailure` unless the command succeeded. Its cause is `usualCause` unless the end of the command shows
 * that memory or the volume ran out.
 */
export function expectSuccess(end: CommandEnd, what: string, usualCause: Cause): void {
  if (end.exitCode === 0) return;
  const outcome =
    end.exitCode === null ? `was ended by ${end.signal}` : `failed with exit code ${end.exitCode}`;
  const said = (pattern: RegExp) => end.lastLines.some((line) => pattern.test(line));
  if (said(heapExhausted)) {
    throw new StepFailure(
      'out-of-memory',
      `${what} ${outcome}: Node.js reached the limit of its heap. Raise it with the environment variable NODE_OPTIONS=--max-old-space-size=<MiB>, within the memory of the runner.`,
    );
  }
  if (end.ranOutOfMemory) {
    throw new StepFailure(
      'out-of-memory',
      `${what} ${outcome}: the kernel killed a process because the sandbox had no memory left.`,
    );
  }
  if (end.exitCode === killedExitCode || end.signal === 'SIGKILL' || said(allocationRefused)) {
    throw new StepFailure('out-of-memory', `${what} ${outcome}: it was most likely out of memory.`);
  }
  if (said(volumeFull)) {
    throw new StepFailure('disk-full', `${what} ${outcome}: there was no space left on the volume.`);
  }
  throw new StepFailure(usualCause, `${what} ${outcome}.`);
}
