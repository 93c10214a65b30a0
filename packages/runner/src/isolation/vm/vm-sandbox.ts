import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { type Cause, cacheLimits } from '@slipway/core';
import type { Guest } from '../../guest/ensure-guest.ts';
import { isDiskFullError } from '../../host-disk.ts';
import { type CgroupSweeper, watchCgroups } from '../container/sweeper.ts';
import { destruction } from '../destruction.ts';
import {
  type Sandbox,
  type SandboxBoot,
  type SandboxExit,
  type SandboxSpec,
  SandboxStartError,
} from '../isolation.ts';
import type { SandboxNames } from '../sandbox-names.ts';
import type { Shortages } from '../shortages.ts';
import type { UsageReading } from '../usage-reading.ts';
import { VolumeFile } from '../volume-file.ts';
import { CacheDisk } from './cache-disk.ts';
import { confinedBoot, confinedQemu, type QemuFiles } from './confinement.ts';
import { guestFiles } from './container-configuration.ts';
import { ExecutorStream } from './executor-stream.ts';
import {
  destroyedExit,
  explainContainerExit,
  explainMachineEnd,
  explainSilence,
} from './exit-explanation.ts';
import { FullDiskPause } from './full-disk-pause.ts';
import { GuestReports } from './guest-reports.ts';
import { HostMemoryWatch } from './host-memory-watch.ts';
import { type GuestEvent, InitChannel } from './init-channel.ts';
import { LateDevices } from './late-devices.ts';
import { createMachineCgroup, putIntoCgroup } from './machine-cgroup.ts';
import { MachineUsage } from './machine-usage.ts';
import { type Acceleration, descriptors, deviceArguments, machineArguments } from './qemu-command.ts';
import { QemuProcess } from './qemu-process.ts';
import { Qmp } from './qmp.ts';
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
  /** How long a guest may answer nobody; 300 s when absent. */
  readonly answerPatienceMilliseconds?: number | undefined;
}

/** One virtual machine and the container in it. */
export class VmSandbox implements Sandbox {
  readonly channel: Duplex;
  readonly started: Promise<SandboxBoot>;
  readonly exited: Promise<SandboxExit>;
  /** QEMU's, once it runs. */
  readonly hostProcess: Promise<number>;
  readonly cacheDevice: CacheDisk;
  readonly destroy = destruction(async () => {
    this.#end(destroyedExit);
    await this.#volume.close();
    await this.#qemu.kill();
    this.#init.close();
    this.#qmp.close();
    // The only other process. It works on the volume, which has no name: with the last of its users it is gone.
    await this.#formatted.catch(() => {});
    await this.#limits?.sweep();
    this.#parts.names.giveBack(this.#name);
  });
  readonly #spec: SandboxSpec;
  readonly #name: string;
  /** Undefined where this host lets us make none. */
  readonly #limits: CgroupSweeper | undefined;
  readonly #parts: MachineParts;
  readonly #qemu: QemuProcess;
  readonly #init: InitChannel;
  readonly #qmp: Qmp;
  readonly #pause: FullDiskPause;
  readonly #devices: LateDevices;
  readonly #formatted: Promise<void>;
  readonly #volume: VolumeFile;
  readonly #usage: MachineUsage;
  readonly #boot = Promise.withResolvers<SandboxBoot>();
  readonly #exit = Promise.withResolvers<SandboxExit>();
  readonly #reports = new GuestReports();
  readonly #hostMemory = new HostMemoryWatch();
  #booted: SandboxBoot | undefined;
  #machineId: number | undefined;
  /** Whether there is an init that answers. */
  #answers = false;
  #shutdownReason: string | undefined;

  private constructor(
    spec: SandboxSpec,
    name: string,
    parts: MachineParts,
    qemu: QemuProcess,
    limits: CgroupSweeper | undefined,
    volume: VolumeFile,
    formatted: Promise<void>,
  ) {
    this.#spec = spec;
    this.#name = name;
    this.#limits = limits;
    this.#parts = parts;
    this.#qemu = qemu;
    this.#volume = volume;
    this.#formatted = formatted;
    this.started = this.#boot.promise;
    this.exited = this.#exit.promise;
    // Whoever does not ask whether it started still learns from `exited` how it ended.
    this.started.catch(() => {});

    const endMark = randomUUID();
    this.channel = new ExecutorStream(qemu.channel(descriptors.executor), endMark);
    this.#qmp = new Qmp(qemu.channel(descriptors.qmp), {
      stopped: (reason) => {
        this.#shutdownReason = reason;
      },
      stoppedByFullDisk: () => void this.#pause.begin(),
      violated: (what) => this.#violated(`QEMU sent ${what}.`),
    });
    this.hostProcess = this.#qmp.greeted.then(() => this.#findMachine());
    this.hostProcess.catch(() => {});
    this.#pause = new FullDiskPause({
      folder: parts.names.folder,
      qmp: this.#qmp,
      patienceMilliseconds: parts.roomPatienceMilliseconds,
      givenUp: ({ runCause, message }) => this.#endNow(runCause, message),
    });
    this.#init = new InitChannel(qemu.channel(descriptors.init), {
      silenceSeconds: spec.silenceSeconds,
      now: parts.now,
      heard: (event) => this.#hear(event),
      violated: (what) => this.#violated(`The guest's init sent ${what}.`),
    });
    this.#devices = new LateDevices(this.#qmp, this.#init, parts.guest.sendDescriptorPath);
    for (const [path, contents] of guestFiles(spec)) this.#init.sendFile(path, contents);
    this.#usage = new MachineUsage({
      ...{ size: spec.size, processId: () => this.#machineId, volume, reports: this.#reports },
      send: (message) => this.#init.send(message),
      answers: {
        patienceMilliseconds: parts.answerPatienceMilliseconds,
        lost: (silence) => this.#endNow('guest-panic', explainSilence(silence, qemu.console.lines)),
      },
    });
    this.cacheDevice = new CacheDisk(
      this.#devices,
      this.#init,
      Math.min(spec.size.volumeGiB, cacheLimits.deviceGiB),
    );
    formatted.then(
      () => this.#init.send(`start ${endMark}`),
      (error: unknown) => this.#cannotStart(error),
    );
    void qemu.ended.then((end) => {
      this.#init.close();
      const machineEnd = {
        qemu: end,
        errors: qemu.errors,
        reason: this.#shutdownReason,
        killedForMemory: end.signal === 'SIGKILL' && this.#hostMemory.killed(this.#machineId),
        consoleLines: qemu.console.lines,
      };
      this.#end(explainMachineEnd(machineEnd, this.#reports, spec.size));
    });
  }

  /** Starts the machine. Throws `SandboxStartError`; nothing is left then. */
  static async start(spec: SandboxSpec, parts: MachineParts): Promise<VmSandbox> {
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
      return new VmSandbox(spec, name, parts, qemu, limits, volumeFile, formatted);
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

  async attach(device: { name: string; path: string }): Promise<void> {
    await this.started;
    await this.#devices.attach(device);
  }

  signal(signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void {
    // Before it has started there is nothing to signal, and afterwards nobody who would hear it.
    this.started.then(() => this.#init.send(`signal ${constants.signals[signal]}`)).catch(() => {});
  }

  shortages(): Promise<Shortages> {
    return this.#reports.askShortages((message) => this.#init.send(message));
  }

  usage(): Promise<UsageReading> {
    return this.#usage.read(this.#answers && !this.#pause.isPaused);
  }

  #findMachine(): number {
    [this.#machineId] = this.#qemu.children;
    if (this.#machineId === undefined) throw new Error('QEMU has ended');
    return this.#machineId;
  }

  #hear(event: GuestEvent): void {
    switch (event.event) {
      case 'boot':
        this.#booted = {
          accelerated: this.#parts.acceleration.kind === 'kvm',
          kernelRelease: event.kernelRelease,
          bootId: event.bootId,
          kernelDigest: this.#parts.guest.kernelDigest,
          initramfsDigest: this.#parts.guest.initramfsDigest,
        };
        break;
      case 'started':
        this.#answers = true;
        if (this.#booted) this.#boot.resolve(this.#booted);
        break;
      case 'failed':
      case 'usage':
      case 'shortages':
      case 'folders':
        this.#reports.hear(event);
        break;
      case 'attached':
        this.#devices.hear(event);
        break;
      case 'cache-mounted':
      case 'cache-sealed':
        this.cacheDevice.hear(event);
        break;
      case 'exit':
        this.#end(explainContainerExit(event, this.#reports.shortages, this.#spec.size));
        break;
      case 'clock':
        break;
    }
  }

  #violated(message: string): void {
    this.#endNow('protocol-violation', message);
  }

  #cannotStart(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#endNow(error instanceof SandboxStartError ? error.runCause : 'sandbox-failed', message);
  }

  #endNow(cause: Cause, message: string): void {
    this.#end({ exitCode: null, signal: null, cause, message });
    void this.#qemu.kill();
  }

  #end(exit: SandboxExit): void {
    this.#boot.reject(new SandboxStartError(exit.message, exit.cause ?? 'sandbox-failed'));
    this.#answers = false;
    this.#exit.resolve(exit);
    this.#pause.close();
    this.#devices.close();
    this.cacheDevice.close();
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
