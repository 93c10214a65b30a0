import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { type Cause, cacheLimits } from '@slipway/core';
import { destruction } from '../destruction.ts';
import {
  type Sandbox,
  type SandboxBoot,
  type SandboxExit,
  type SandboxSpec,
  SandboxStartError,
} from '../isolation.ts';
import type { Shortages } from '../shortages.ts';
import type { UsageReading } from '../usage-reading.ts';
import { BootWatch } from './boot-watch.ts';
import { CacheDisk } from './cache-disk.ts';
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
import { Machine, type MachineParts } from './machine.ts';
import { MachineUsage } from './machine-usage.ts';
import { descriptors } from './qemu-command.ts';
import { Qmp } from './qmp.ts';

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
    await this.#machine.release();
    this.#init.close();
    this.#qmp.close();
  });
  readonly #spec: SandboxSpec;
  readonly #parts: MachineParts;
  readonly #machine: Machine;
  readonly #init: InitChannel;
  readonly #qmp: Qmp;
  readonly #pause: FullDiskPause;
  readonly #devices: LateDevices;
  readonly #usage: MachineUsage;
  readonly #boot = Promise.withResolvers<SandboxBoot>();
  readonly #exit = Promise.withResolvers<SandboxExit>();
  readonly #bootWatch: BootWatch;
  readonly #endMark = randomUUID();
  readonly #reports = new GuestReports();
  readonly #hostMemory = new HostMemoryWatch();
  #booted: SandboxBoot | undefined;
  #machineId: number | undefined;
  /** Whether there is an init that answers. */
  #answers = false;
  #shutdownReason: string | undefined;

  private constructor(spec: SandboxSpec, parts: MachineParts, machine: Machine) {
    const { qemu, volume, formatted } = machine;
    this.#spec = spec;
    this.#parts = parts;
    this.#machine = machine;
    this.started = this.#boot.promise;
    this.exited = this.#exit.promise;
    // Whoever does not ask whether it started still learns from `exited` how it ended.
    this.started.catch(() => {});

    this.channel = new ExecutorStream(qemu.channel(descriptors.executor), this.#endMark);
    this.#qmp = new Qmp(qemu.channel(descriptors.qmp), {
      stopped: (reason) => {
        this.#shutdownReason = reason;
      },
      reset: () => this.#bootWatch.wasReset(),
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
    this.#bootWatch = new BootWatch({
      ...{ acceleration: parts.acceleration, qmp: this.#qmp },
      patienceMilliseconds: parts.bootPatienceMilliseconds,
      givenUp: (message) => this.#endNow('sandbox-failed', message),
    });
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
    formatted.catch((error: unknown) => this.#cannotStart(error));
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
    return new VmSandbox(spec, parts, await Machine.start(spec, parts));
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

  /** Nothing is sent before: one that boots again would not have it any more. */
  #startContainer(): void {
    this.#init.keepTellingTime();
    for (const [path, contents] of guestFiles(this.#spec)) this.#init.sendFile(path, contents);
    const start = () => this.#init.send(`start ${this.#endMark}`);
    this.#machine.formatted.then(start, () => undefined);
  }

  #findMachine(): number {
    [this.#machineId] = this.#machine.qemu.children;
    if (this.#machineId === undefined) throw new Error('QEMU has ended');
    return this.#machineId;
  }

  #hear(event: GuestEvent): void {
    switch (event.event) {
      case 'boot':
        if (!this.#bootWatch.hear(event)) break;
        this.#startContainer();
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
    void this.#machine.qemu.kill();
  }

  #end(exit: SandboxExit): void {
    this.#boot.reject(new SandboxStartError(exit.message, exit.cause ?? 'sandbox-failed'));
    this.#answers = false;
    this.#exit.resolve(exit);
    this.#bootWatch.close();
    this.#pause.close();
    this.#devices.close();
    this.cacheDevice.close();
  }
}
