import { mkdirSync } from 'node:fs';
import type { Guest } from '../../guest/ensure-guest.ts';
import type { Isolation, SandboxSpec } from '../isolation.ts';
import { SandboxNames } from '../sandbox-names.ts';
import { detectAcceleration } from './acceleration.ts';
import { findQemuFiles } from './confinement.ts';
import { VmSandbox } from './vm-sandbox.ts';

export interface VmIsolationOptions {
  readonly guest: Guest;
  /** Where volumes are made; on a file system with room for them. Made when it is not there. */
  readonly folder: string;
  /** Names what its sandboxes have on the host; by default those of the folder. */
  readonly names?: SandboxNames;
  /** Where it is kept whether this host offers hardware acceleration. */
  readonly cacheDirectory: string;
  /** The clock that guests are set by, in milliseconds since 1970; the host's own when absent. */
  readonly now?: () => number;
  /** How long machines wait for room when the disk of their volumes is full; 30 s when absent. */
  readonly roomPatienceMilliseconds?: number;
  /** How long a guest may take to boot, at first, before it boots again; 60 s when absent. */
  readonly bootPatienceMilliseconds?: number;
  /** How long a guest may answer nobody; 300 s when absent. */
  readonly answerPatienceMilliseconds?: number;
}

export interface VmIsolation extends Isolation {
  create(spec: SandboxSpec): Promise<VmSandbox>;
  /** One plain sentence: whether virtual machines are accelerated by hardware, and what it means where not. */
  describeAcceleration(): string;
}

/**
 * A virtual machine of its own for each sandbox: QEMU's microvm as a process without rights, with a kernel of its own.
 * Needs no root. Throws `SandboxStartError` when a tool is missing.
 */
export async function createVmIsolation(options: VmIsolationOptions): Promise<VmIsolation> {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const { acceleration, sentence } = await detectAcceleration(options.guest, options.cacheDirectory);
  const parts = {
    guest: options.guest,
    acceleration,
    qemuFiles: await findQemuFiles(),
    names: options.names ?? new SandboxNames(options.folder),
    now: options.now ?? Date.now,
    roomPatienceMilliseconds: options.roomPatienceMilliseconds,
    bootPatienceMilliseconds: options.bootPatienceMilliseconds,
    answerPatienceMilliseconds: options.answerPatienceMilliseconds,
  };
  return {
    kind: 'vm',
    create: (spec) => VmSandbox.start(spec, parts),
    describeAcceleration: () => sentence,
  };
}
