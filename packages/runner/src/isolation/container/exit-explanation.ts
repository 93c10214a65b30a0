import { constants } from 'node:os';
import type { SandboxExit, SandboxSpec } from '../isolation.ts';
import { explainShortages, type Shortages } from '../shortages.ts';
import { type SupervisorEnd, startFailureOf } from './supervisor.ts';

const shellSignalBase = 128;

/**
 * How the sandbox ended, from what its supervisor saw. A status above 128 is read as a signal, as shells do: crun tells
 * both the same way.
 */
export function explainExit(
  end: SupervisorEnd,
  { size }: Pick<SandboxSpec, 'size'>,
  shortages: Shortages,
): SandboxExit {
  const exit = { exitCode: null, signal: null, cause: null };
  if (end.status === null) {
    return end.started || end.lastOutput === ''
      ? { ...exit, signal: 'SIGKILL', message: 'The sandbox was destroyed.' }
      : { ...exit, cause: startFailureOf(end.lastOutput), message: end.lastOutput };
  }
  if (!end.started) return { ...exit, cause: startFailureOf(end.lastOutput), message: end.lastOutput };

  const signal = signalName(end.status - shellSignalBase);
  const how = signal === null ? { ...exit, exitCode: end.status } : { ...exit, signal };
  const explained = end.status === 0 ? undefined : explainShortages(shortages, size);
  return { ...how, message: end.lastOutput, ...explained };
}

function signalName(number: number): string | null {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null;
}
