import { constants } from 'node:os';
import type { SandboxSize } from '@slipway/core';
import type { SandboxExit } from '../isolation.ts';
import type { GuestEvent } from './init-channel.ts';
import type { QemuEnd } from './qemu-process.ts';

type ContainerExit = Extract<GuestEvent, { event: 'exit' }>;
type OutOfMemory = Extract<GuestEvent, { event: 'out-of-memory' }>;

/** What the guest has told, as far as it says why something ended. */
export interface GuestReports {
  failure?: string;
  outOfMemory?: OutOfMemory;
}

const none = { exitCode: null, signal: null, cause: null };
const shownConsoleLines = 30;

/** How the process in the guest ended, as init told. */
export function explainContainerExit(
  exit: ContainerExit,
  { outOfMemory }: GuestReports,
  size: SandboxSize,
): SandboxExit {
  const how =
    exit.signal === 0 ? { ...none, exitCode: exit.code } : { ...none, signal: signalName(exit.signal) };
  if (outOfMemory !== undefined) return { ...how, ...explainMemory(outOfMemory, size) };
  if (exit.volumeIsFull && exit.code + exit.signal !== 0) {
    return { ...how, cause: 'disk-full', message: `The volume of ${size.volumeGiB} GiB is full.` };
  }
  return { ...how, message: exit.output.trim() };
}

/** Why the machine ended without init having told about the process in it. `reason` is QEMU's own. */
export function explainMachineEnd(
  { code, signal }: QemuEnd,
  reason: string | undefined,
  reports: GuestReports,
  size: SandboxSize,
  consoleLines: readonly string[],
  errors: string,
): SandboxExit {
  const lastLines = consoleLines.slice(-shownConsoleLines).join('\n');
  // Before its channel is open, init can only write to the console.
  const failure = reports.failure ?? consoleLines.find((line) => line.startsWith('init: '));
  if (failure !== undefined) return { ...none, cause: 'sandbox-failed', message: failure };
  if (reports.outOfMemory !== undefined) return { ...none, ...explainMemory(reports.outOfMemory, size) };
  // With `panic=-1` the kernel resets the machine when it panics; nothing else in it may.
  const panic = consoleLines.findIndex((line) => line.includes('Kernel panic'));
  if (panic >= 0) {
    // The first line tells why; the trace of calls after it may be long.
    const firstLines = consoleLines.slice(panic, panic + shownConsoleLines).join('\n');
    return { ...none, cause: 'guest-panic', message: firstLines };
  }
  if (reason === 'guest-reset') return { ...none, cause: 'guest-panic', message: lastLines };
  if (reason === 'guest-shutdown') return { ...none, cause: 'guest-powered-off', message: lastLines };
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const words = [`QEMU ended ${how}.`, errors, lastLines].filter((text) => text !== '');
  return { ...none, cause: 'sandbox-failed', message: words.join('\n') };
}

export const destroyedExit: SandboxExit = {
  ...none,
  signal: 'SIGKILL',
  message: 'The sandbox was destroyed.',
};

function explainMemory({ kills, process }: OutOfMemory, { memoryMiB }: SandboxSize) {
  const others = kills === 1 ? '' : ` It was the last of ${kills}.`;
  const message = `The kernel killed the process "${process}" at the sandbox's memory limit of ${memoryMiB} MiB.${others}`;
  return { cause: 'out-of-memory', message } as const;
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
