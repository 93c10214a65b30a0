import { closeSync, openSync } from 'node:fs';
import type { Guest } from '../../guest/ensure-guest.ts';
import { isDiskFullError } from '../../host-disk.ts';
import { type CgroupSweeper, watchCgroups } from '../container/sweeper.ts';
import { type SandboxSpec, SandboxStartError } from '../isolation.ts';
import type { SandboxNames } from '../sandbox-names.ts';
import { VolumeFile } from '../volume-file.ts';
import { confinedBoot, confinedQemu, type QemuFiles } from './confinement.ts';
import { createMachineCgroup, putIntoCgroup } from './machine-cgroup.ts';
import { type Acceleration, deviceArguments, machineArguments } from './qemu-command.ts';
import { QemuProcess } from './qemu-process.ts';
import { formatVolume, openVolume } from './volume.ts';

/** What all machines of a runner share. */
export interface MachineParts {
  readonly guest: Guest;
  readonly acceleration: Acceleration;
  readonly qemuFiles: QemuFiles;
  /** Their folder is where volumes are made: on a file system with room for them. */
  readonly names: SandboxNames;
  /** The clock that guests are set by: milliseconds since 1970. */
  readonly now: () => number;
  /** How long machines wait for room when the disk of their volumes is full; 30 s when absent. */
  readonly roomPatienceMilliseconds?: number | undefined;
  /** How long a guest may take to boot, at first; 60 s when absent. */
  readonly bootPatienceMilliseconds?: number | undefined;
  /** How long a guest may answer nobody; 300 s when absent. */
  readonly answerPatienceMilliseconds?: number | undefined;
}

/** What a virtual machine has of the host: its QEMU, and what that works on. */
export class Machine {
  readonly qemu: QemuProcess;
  readonly volume: VolumeFile;
  /** Settles when there is a file system on the volume. */
  readonly formatted: Promise<void>;
  readonly #name: string;
  /** Undefined where this host lets us make none. */
  readonly #limits: CgroupSweeper | undefined;
  readonly #names: SandboxNames;

  private constructor(
    names: SandboxNames,
    name: string,
    qemu: QemuProcess,
    limits: CgroupSweeper | undefined,
    volume: VolumeFile,
    formatted: Promise<void>,
  ) {
    this.#names = names;
    this.#name = name;
    this.qemu = qemu;
    this.#limits = limits;
    this.volume = volume;
    this.formatted = formatted;
  }

  /** Starts the machine. Throws `SandboxStartError`; nothing is left then. */
  static async start(spec: SandboxSpec, parts: MachineParts): Promise<Machine> {
    const name = parts.names.take(spec.id);
    const opened: number[] = [];
    const open = (path: string) => {
      opened.push(openSync(path, 'r'));
    };
    let formatted: Promise<void> | undefined;
    let limits: CgroupSweeper | undefined;
    let volumeFile: VolumeFile | undefined;
    try {
      // In the order of `descriptors`.
      for (const path of [spec.image.erofsPath, spec.toolbox.erofsPath]) open(path);
      const volume = openVolume(parts.names.folder, name, spec.size.volumeGiB);
      volumeFile = new VolumeFile(volume);
      const groups = createMachineCgroup(name, spec.size, parts.acceleration)?.directories;
      limits = groups && watchCgroups(groups);
      const qemu = new QemuProcess(qemuCommand(spec, name, parts), 3, [...opened, volume], 'SIGTERM');
      // Before it has taken any memory.
      if (groups) putIntoCgroup(groups, qemu);
      // While QEMU starts: the guest mounts the volume only when it is told to.
      formatted = formatVolume(volume);
      await qemu.spawned();
      return new Machine(parts.names, name, qemu, limits, volumeFile, formatted);
    } catch (error) {
      await formatted?.catch(() => {});
      await volumeFile?.close();
      await limits?.sweep();
      parts.names.giveBack(name);
      throw new SandboxStartError(
        `The virtual machine could not be started: ${error instanceof Error ? error.message : String(error)}`,
        isDiskFullError(error) ? 'host-disk-full' : 'sandbox-failed',
        { cause: error },
      );
    } finally {
      for (const descriptor of opened) closeSync(descriptor);
    }
  }

  /** Ends QEMU, and gives back all that it had. */
  async release(): Promise<void> {
    await this.volume.close();
    await this.qemu.kill();
    // The only other process. It works on the volume, which has no name: with the last of its users it is gone.
    await this.formatted.catch(() => {});
    await this.#limits?.sweep();
    this.#names.giveBack(this.#name);
  }
}

function qemuCommand(spec: SandboxSpec, name: string, parts: MachineParts): string[] {
  const { network, size, silenceSeconds } = spec;
  return [
    ...network.enter,
    ...confinedQemu(parts.guest, parts.qemuFiles, network),
    ...machineArguments(confinedBoot, parts.acceleration, size, [
      `SLIPWAY_SILENCE_SECONDS=${silenceSeconds}`,
    ]),
    // By which it is found, should it be left behind.
    ...['-name', name],
    ...deviceArguments(),
  ];
}
