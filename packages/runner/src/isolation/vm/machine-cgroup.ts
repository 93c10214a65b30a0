import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SandboxSize } from '@slipway/core';
import { createCgroup, type SandboxCgroup } from '../container/cgroup.ts';
import type { Acceleration } from './qemu-command.ts';
import type { QemuProcess } from './qemu-process.ts';

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

/** Puts QEMU and its keeper into control groups: also where the keeper has started it this moment, before it was in one. */
export function putIntoCgroup(groups: readonly string[], qemu: QemuProcess): void {
  const put = (processId: number) => {
    for (const group of groups) writeFileSync(join(group, 'cgroup.procs'), String(processId));
  };
  if (qemu.pid !== undefined) put(qemu.pid);
  for (const child of qemu.children) {
    try {
      put(child);
    } catch (error) {
      // It could not begin, and the end of its keeper will tell why.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}
