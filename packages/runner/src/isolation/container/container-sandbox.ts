import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { destruction } from '../destruction.ts';
import type { Sandbox, SandboxBoot, SandboxExit, SandboxSpec } from '../isolation.ts';
import type { Shortages } from '../shortages.ts';
import type { UsageReading } from '../usage-reading.ts';
import { type CgroupCounters, createCgroup } from './cgroup.ts';
import { ContainerUsage } from './container-usage.ts';
import { explainExit } from './exit-explanation.ts';
import type { ContainerRuntime } from './runtime.ts';
import { countedShortages, volumeRoom } from './shortages.ts';
import { type ContainerParts, type Supervisor, spawnSupervisor } from './supervisor.ts';
import { bundlePaths, discardVolume } from './supervisor-script.ts';
import { type CgroupSweeper, watchCgroups } from './sweeper.ts';
import { waitUntilReleased } from './volume.ts';

const deviceName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const releaseDeadlineMilliseconds = 10_000;

/** One container and all that belongs to it. */
export class ContainerSandbox implements Sandbox {
  readonly channel: Duplex;
  readonly started: Promise<SandboxBoot>;
  readonly exited: Promise<SandboxExit>;
  /** What another sandbox has written is never mounted by the kernel of this host. */
  readonly cacheDevice = null;
  readonly destroy = destruction(async () => {
    // Only to be quick: where it fails, the volume is written back before it goes.
    await this.#supervisor.run(discardVolume(this.#folder)).catch(() => {});
    await this.#supervisor.volume.close();
    await this.#supervisor.kill();
    // The kernel ends a PID namespace before its first process counts as ended, so now every process is reaped.
    await this.exited;
    this.channel.destroy();
    await Promise.all([this.#sweeper.sweep(), waitUntilReleased(this.#name, releaseDeadlineMilliseconds)]);
    this.#parts.names.giveBack(this.#name);
  });
  readonly #spec: SandboxSpec;
  readonly #parts: ContainerParts;
  readonly #name: string;
  readonly #supervisor: Supervisor;
  readonly #sweeper: CgroupSweeper;
  readonly #counters: CgroupCounters;
  readonly #usage: ContainerUsage;

  private constructor(
    spec: SandboxSpec,
    parts: ContainerParts,
    name: string,
    supervisor: Supervisor,
    sweeper: CgroupSweeper,
    counters: CgroupCounters,
  ) {
    this.#spec = spec;
    this.#parts = parts;
    this.#name = name;
    this.#supervisor = supervisor;
    this.#sweeper = sweeper;
    this.channel = supervisor.channel;
    this.#counters = counters;
    this.#usage = new ContainerUsage(supervisor, counters, `${this.#folder}/volume`);
    this.exited = supervisor.ended.then((end) => {
      const volume = end.volume && { ...end.volume, folders: [] };
      return explainExit(end, spec, { ...countedShortages(spec, name, counters), volume });
    });
    this.started = supervisor.started.then(() => bootOf(parts.runtime));
    // Whoever does not ask whether it started still learns from `exited` how it ended.
    this.started.catch(() => {});
  }

  static async start(spec: SandboxSpec, parts: ContainerParts): Promise<ContainerSandbox> {
    const name = parts.names.take(spec.id);
    try {
      return await ContainerSandbox.#start(spec, parts, name);
    } catch (error) {
      parts.names.giveBack(name);
      throw error;
    }
  }

  static async #start(spec: SandboxSpec, parts: ContainerParts, name: string): Promise<ContainerSandbox> {
    const cgroup = createCgroup(name, spec.size, parts.runtime.hostPidLimit(spec.pidLimit));
    const sweeper = watchCgroups(cgroup.directories);
    try {
      const supervisor = spawnSupervisor(spec, parts, name, cgroup);
      return new ContainerSandbox(spec, parts, name, supervisor, sweeper, cgroup.counters);
    } catch (error) {
      await sweeper.sweep();
      throw error;
    }
  }

  get #folder(): string {
    return this.#parts.names.folder;
  }

  async attach({ name, path }: { name: string; path: string }): Promise<void> {
    if (!deviceName.test(name)) throw new RangeError(`"${name}" cannot be the name of a device`);
    await this.started;
    const mountPoint = `${bundlePaths(this.#folder).devices}/${name}`;
    const device = openSync(path, 'r');
    try {
      const mount = 'mkdir "$1" && mount -t erofs -o ro,loop,nodev,nosuid /proc/self/fd/3 "$1"';
      await this.#supervisor.run(['sh', '-c', mount, 'slipway-attach', mountPoint], device);
    } finally {
      closeSync(device);
    }
  }

  get hostProcess(): Promise<number> {
    return this.#supervisor.firstProcess;
  }

  async shortages(): Promise<Shortages> {
    // Once it is gone, so is its volume.
    const volume = await volumeRoom(this.#supervisor, this.#folder).catch(() => null);
    return { ...countedShortages(this.#spec, this.#name, this.#counters), volume };
  }

  usage(): Promise<UsageReading> {
    return this.#usage.read();
  }

  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void {
    const kill = this.#parts.runtime.kill(this.#folder, name);
    // Before it has started there is nothing to signal, and afterwards nobody who would hear it.
    this.started.then(() => this.#supervisor.run(kill)).catch(() => {});
  }
}

function bootOf({ kernelRelease }: ContainerRuntime): SandboxBoot {
  return {
    accelerated: null,
    kernelRelease,
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    kernelDigest: null,
    initramfsDigest: null,
  };
}
