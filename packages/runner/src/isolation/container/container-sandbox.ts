import { closeSync, openSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Duplex } from 'node:stream';
import { destruction } from '../destruction.ts';
import type { Sandbox, SandboxBoot, SandboxExit, SandboxSpec } from '../isolation.ts';
import type { Shortages } from '../shortages.ts';
import { type CgroupCounters, createCgroup, groupName } from './cgroup.ts';
import { explainExit } from './exit-explanation.ts';
import { countedShortages, volumeRoom } from './shortages.ts';
import { type Supervisor, spawnSupervisor } from './supervisor.ts';
import { bundlePaths, crun, discardVolume } from './supervisor-script.ts';
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
    await this.#supervisor.kill();
    // The kernel ends a PID namespace before its first process counts as ended, so now every process is reaped.
    await this.exited;
    this.channel.destroy();
    await Promise.all([this.#sweeper.sweep(), waitUntilReleased(this.#spec.id, releaseDeadlineMilliseconds)]);
  });
  readonly #spec: SandboxSpec;
  readonly #folder: string;
  readonly #supervisor: Supervisor;
  readonly #sweeper: CgroupSweeper;
  readonly #counters: CgroupCounters;

  private constructor(
    spec: SandboxSpec,
    folder: string,
    supervisor: Supervisor,
    sweeper: CgroupSweeper,
    counters: CgroupCounters,
  ) {
    this.#spec = spec;
    this.#folder = folder;
    this.#supervisor = supervisor;
    this.#sweeper = sweeper;
    this.channel = supervisor.channel;
    this.#counters = counters;
    this.exited = supervisor.ended.then((end) => {
      const volume = end.volume && { ...end.volume, folders: [] };
      return explainExit(end, spec, { ...countedShortages(spec, counters), volume });
    });
    this.started = supervisor.started.then(hostBoot);
    // Whoever does not ask whether it started still learns from `exited` how it ended.
    this.started.catch(() => {});
  }

  static async start(spec: SandboxSpec, folder: string): Promise<ContainerSandbox> {
    const cgroup = createCgroup(groupName(spec), spec.size, spec.pidLimit);
    const sweeper = watchCgroups(cgroup.directories);
    try {
      const supervisor = spawnSupervisor(spec, folder, cgroup);
      return new ContainerSandbox(spec, folder, supervisor, sweeper, cgroup.counters);
    } catch (error) {
      await sweeper.sweep();
      throw error;
    }
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

  async shortages(): Promise<Shortages> {
    // Once it is gone, so is its volume.
    const volume = await volumeRoom(this.#supervisor, this.#folder).catch(() => null);
    return { ...countedShortages(this.#spec, this.#counters), volume };
  }

  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void {
    const kill = crun(this.#folder, 'kill', 'sandbox', name);
    // Before it has started there is nothing to signal, and afterwards nobody who would hear it.
    this.started.then(() => this.#supervisor.run(kill)).catch(() => {});
  }
}

function hostBoot(): SandboxBoot {
  return {
    accelerated: null,
    kernelRelease: release(),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    kernelDigest: null,
    initramfsDigest: null,
  };
}
