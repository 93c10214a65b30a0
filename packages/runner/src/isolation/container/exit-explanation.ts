import { constants } from 'node:os';
import type { SandboxExit, SandboxSpec } from '../isolation.ts';
import type { SupervisorEnd } from './supervisor.ts';

/** Less than 1 MiB, of 4 KiB blocks: whatever failed then failed for want of space. */
const fullVolumeBlocks = 256;
const shellSignalBase = 128;

/**
 * How the sandbox ended, from what its supervisor saw. A status above 128 is read as a signal, as shells do: crun tells
 * both the same way.
 */
export function explainExit(
  end: SupervisorEnd,
  { size }: Pick<SandboxSpec, 'size'>,
  outOfMemoryKills: number,
): SandboxExit {
  const exit = { exitCode: null, signal: null, cause: null };
  if (end.status === null) {
    return end.started || end.lastOutput === ''
      ? { ...exit, signal: 'SIGKILL', message: 'The sandbox was destroyed.' }
      : { ...exit, cause: 'sandbox-failed', message: end.lastOutput };
  }
  if (!end.started) return { ...exit, cause: 'sandbox-failed', message: end.lastOutput };

  const signal = signalName(end.status - shellSignalBase);
  const how = signal === null ? { ...exit, exitCode: end.status } : { ...exit, signal };
  if (outOfMemoryKills > 0) {
    const killed = outOfMemoryKills === 1 ? 'a process' : `${outOfMemoryKills} processes`;
    const message = `The kernel killed ${killed} of the sandbox at its memory limit of ${size.memoryMiB} MiB.`;
    return { ...how, cause: 'out-of-memory', message };
  }
  if (end.status !== 0 && (end.freeVolumeBlocks ?? fullVolumeBlocks) < fullVolumeBlocks) {
    return { ...how, cause: 'disk-full', message: `The volume of ${size.volumeGiB} GiB is full.` };
  }
  return { ...how, message: end.lastOutput };
}

function signalName(number: number): string | null {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null;
}
