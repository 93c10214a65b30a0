import { statfs } from 'node:fs/promises';
import type { ResourceUse } from '@slipway/core';
import { networkTraffic } from '../host-counters.ts';
import type { UsageReading } from '../usage-reading.ts';
import type { CgroupCounters } from './cgroup.ts';
import type { Supervisor } from './supervisor.ts';

type Traffic = Pick<ResourceUse, 'receivedBytes' | 'sentBytes'>;

/**
 * What a container uses. Its processes, their memory and the network are counted by the host's kernel alone, gVisor's own
 * included; of the volume its own file system tells what the files take, and the host what was allocated.
 */
export class ContainerUsage {
  readonly #supervisor: Supervisor;
  readonly #counters: CgroupCounters;
  /** In the supervisor's mount namespace. */
  readonly #volumePath: string;
  #traffic: Traffic = { receivedBytes: 0, sentBytes: 0 };
  #volumeBytes = 0;
  #latest: UsageReading = { sandbox: null, host: null };

  constructor(supervisor: Supervisor, counters: CgroupCounters, volumePath: string) {
    this.#supervisor = supervisor;
    this.#counters = counters;
    this.#volumePath = volumePath;
  }

  async read(): Promise<UsageReading> {
    await this.#lookInside();
    try {
      const counted = {
        cpuMilliseconds: this.#counters.cpuMilliseconds(),
        memoryBytes: this.#counters.memoryBytes(),
        ...this.#traffic,
      };
      const atMilliseconds = performance.now();
      this.#latest = {
        sandbox: { use: { ...counted, volumeBytes: this.#volumeBytes }, atMilliseconds },
        host: {
          use: { ...counted, volumeBytes: this.#supervisor.volume.allocatedBytes },
          atMilliseconds,
        },
      };
    } catch (error) {
      // Its control groups are gone: what it used last stays.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
    return this.#latest;
  }

  /** Network and mounts are gone with the last process. */
  async #lookInside(): Promise<void> {
    try {
      const processId = await this.#supervisor.firstProcess;
      this.#traffic = networkTraffic(processId);
      const { blocks, bfree, bsize } = await statfs(`/proc/${processId}/root${this.#volumePath}`);
      this.#volumeBytes = (blocks - bfree) * bsize;
    } catch {
      // It has ended, or will never start.
    }
  }
}
