import type { SandboxSize } from '@slipway/core';
import { createCgroup, type SandboxCgroup } from '../container/cgroup.ts';
import type { Acceleration } from './qemu-command.ts';

/** QEMU's own memory, and the files that its disks are. What it translates code into, emulated, comes on top. */
const ownMiB = 512;
const translatedMiB = 1024;
/** QEMU has a thread for each processor, and up to 64 that read and write. */
const mostThreads = 256;

/** The control groups of a QEMU, in which it cannot take more than its machine needs; undefined without that right. */
export function createMachineCgroup(
  name: string,
  { cpus, memoryMiB, volumeGiB }: SandboxSize,
  acceleration: Acceleration,
): SandboxCgroup | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const moreMiB = ownMiB + (acceleration.kind === 'kvm' ? 0 : translatedMiB);
  try {
    // A processor more than the machine has: for its disks and its network.
    return createCgroup(name, { cpus: cpus + 1, memoryMiB: memoryMiB + moreMiB, volumeGiB }, mostThreads);
  } catch {
    return undefined; // Also root may be in a container that may make none.
  }
}
