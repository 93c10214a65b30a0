import { constants } from 'node:os';
import type { SandboxSize } from '@slipway/core';
import type { SandboxExit } from '../isolation.ts';
import { explainMemory, explainShortages, type Shortages } from '../shortages.ts';
import type { Silence } from './answer-watch.ts';
import type { GuestReports } from './guest-reports.ts';
import type { GuestEvent } from './init-channel.ts';
import type { QemuEnd } from './qemu-process.ts';

type ContainerExit = Extract<GuestEvent, { event: 'exit' }>;

const none = { exitCode: null, signal: null, cause: null };
const shownConsoleLines = 30;
/** QEMU, when the host does not give it the guest's memory. */
const memoryRefused = /cannot set up guest memory|Cannot allocate memory/;
/** The kernel, when there is no process left that it could kill. */
const memoryDeadlock = /deadlocked on memory|Out of memory/;

/** How the process in the guest ended, as init told. */
export function explainContainerExit(
  exit: ContainerExit,
  shortages: Shortages,
  size: SandboxSize,
): SandboxExit {
  const how =
    exit.signal === 0 ? { ...none, exitCode: exit.code } : { ...none, signal: signalName(exit.signal) };
  const explained = exit.code + exit.signal === 0 ? undefined : explainShortages(shortages, size);
  return { ...how, message: exit.output.trim(), ...explained };
}

/** What is known about the end of a machine that init did not announce. */
export interface MachineEnd {
  readonly qemu: QemuEnd;
  /** What QEMU itself complained about. */
  readonly errors: string;
  /** QEMU's own reason; undefined when it gave none. */
  readonly reason: string | undefined;
  /** Whether the kernel of the host killed it for want of memory. */
  readonly killedForMemory: boolean;
  readonly consoleLines: readonly string[];
}

/** Why the machine ended without init having told about the process in it. */
export function explainMachineEnd(
  { qemu, errors, reason, killedForMemory, consoleLines }: MachineEnd,
  { failure, shortages }: Pick<GuestReports, 'failure' | 'shortages'>,
  size: SandboxSize,
): SandboxExit {
  const lastLines = consoleLines.slice(-shownConsoleLines).join('\n');
  if (killedForMemory) return { ...none, cause: 'host-out-of-memory', message: killedByHost(size) };
  if (memoryRefused.test(errors)) return { ...none, cause: 'host-out-of-memory', message: errors };
  // Before its channel is open, init can only write to the console.
  const said = failure ?? consoleLines.find((line) => line.startsWith('init: '));
  if (said !== undefined) return { ...none, cause: 'sandbox-failed', message: said };
  if (shortages.memory) return { ...none, ...explainMemory(shortages.memory, size) };
  // With `panic=-1` the kernel resets the machine when it panics; nothing else in it may.
  const panic = consoleLines.findIndex((line) => line.includes('Kernel panic'));
  if (panic >= 0) {
    // The first line tells why; the trace of calls after it may be long.
    const firstLines = consoleLines.slice(panic, panic + shownConsoleLines).join('\n');
    const cause = memoryDeadlock.test(firstLines) ? 'guest-out-of-memory' : 'guest-panic';
    return { ...none, cause, message: firstLines };
  }
  if (reason === 'guest-reset') return { ...none, cause: 'guest-panic', message: lastLines };
  if (reason === 'guest-shutdown') return { ...none, cause: 'guest-powered-off', message: lastLines };
  const how = qemu.signal === null ? `with exit code ${qemu.code}` : `by ${qemu.signal}`;
  const words = [`QEMU ended ${how}.`, errors, lastLines].filter((text) => text !== '');
  return { ...none, cause: 'sandbox-failed', message: words.join('\n') };
}

/** Why a machine was destroyed whose guest answered nobody any more. */
export function explainSilence(
  { seconds, processorSeconds }: Silence,
  consoleLines: readonly string[],
): string {
  const idle = 'it stood still, or its host had no processor for it';
  const busy = 'something in it kept its processors busy, and init got none';
  const first = [
    `It answered nothing for ${Math.round(seconds)} s, so the machine was destroyed.`,
    `QEMU took ${Math.round(processorSeconds)} s of processor time meanwhile: ${processorSeconds < seconds / 10 ? idle : busy}.`,
    consoleLines.length > 0 ? 'The last lines of its console:' : 'Its console is empty.',
  ].join(' ');
  return [first, ...consoleLines.slice(-shownConsoleLines)].join('\n');
}

export const destroyedExit: SandboxExit = {
  ...none,
  signal: 'SIGKILL',
  message: 'The sandbox was destroyed.',
};

function killedByHost({ memoryMiB }: SandboxSize): string {
  return `The kernel of the host killed the virtual machine of ${memoryMiB} MiB because the host, or a limit around the runner, had no memory left.`;
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
