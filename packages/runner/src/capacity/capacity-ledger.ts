import type { Capacity, CapacityOptions, IsolationKind, SandboxSize } from '@slipway/core';
import type { HostResources } from './host-resources.ts';

/** Memory of the host that a sandbox takes beside its own: QEMU and the code that it translates; crun and its like. */
const memoryOverheadMiB: Readonly<Record<IsolationKind, number>> = { vm: 256, gvisor: 64, container: 32 };

/**
 * What the sandboxes of a runner were promised. A sandbox takes its memory and disk little by little, so what is free at
 * a moment says nothing of what was promised: both have to suffice.
 */
export class CapacityLedger {
  readonly #options: CapacityOptions;
  readonly #overheadMiB: number;
  readonly #measure: () => Promise<HostResources>;
  readonly #promised = new Set<Capacity>();
  #released = new AbortController();

  constructor(isolation: IsolationKind, options: CapacityOptions, measure: () => Promise<HostResources>) {
    this.#options = options;
    this.#overheadMiB = memoryOverheadMiB[isolation];
    this.#measure = measure;
  }

  /** The largest sandbox that fits: into the host as it is now, and into one on which no other sandbox runs. */
  async available(): Promise<{ now: Capacity; empty: Capacity }> {
    const { total, free } = await this.#measure();
    const { overcommit } = this.#options;
    const whole = this.#withoutReserve(times(total, overcommit));
    const promised = [...this.#promised].reduce(plus, nothing);
    const now = {
      cpus: whole.cpus - promised.cpus,
      memoryMiB: Math.min(
        whole.memoryMiB - promised.memoryMiB,
        this.#withoutReserve(times(free, overcommit)).memoryMiB,
      ),
      // Volumes are files of this disk: what they hold is neither free nor still promised, and is counted twice here.
      volumeGiB: this.#withoutReserve(times(free, overcommit)).volumeGiB - promised.volumeGiB,
    };
    return { now: this.#sandbox(now), empty: this.#sandbox(whole) };
  }

  /** Counts a sandbox of this size until the answer is called. */
  promise(size: SandboxSize): () => void {
    const promised = { ...size, memoryMiB: size.memoryMiB + this.#overheadMiB };
    this.#promised.add(promised);
    return () => {
      if (!this.#promised.delete(promised)) return;
      this.#released.abort();
      this.#released = new AbortController();
    };
  }

  /** Aborts as soon as a promise ends that is held now. */
  get released(): AbortSignal {
    return this.#released.signal;
  }

  get isEmpty(): boolean {
    return this.#promised.size === 0;
  }

  #withoutReserve({ cpus, memoryMiB, volumeGiB }: Capacity): Capacity {
    const { reserve } = this.#options;
    return { cpus, memoryMiB: memoryMiB - reserve.memoryMiB, volumeGiB: volumeGiB - reserve.volumeGiB };
  }

  #sandbox({ cpus, memoryMiB, volumeGiB }: Capacity): Capacity {
    return {
      cpus: Math.max(0, cpus),
      memoryMiB: Math.max(0, Math.floor(memoryMiB - this.#overheadMiB)),
      volumeGiB: Math.max(0, Math.floor(volumeGiB)),
    };
  }
}

const nothing: Capacity = { cpus: 0, memoryMiB: 0, volumeGiB: 0 };

const plus = (a: Capacity, b: Capacity): Capacity => ({
  cpus: a.cpus + b.cpus,
  memoryMiB: a.memoryMiB + b.memoryMiB,
  volumeGiB: a.volumeGiB + b.volumeGiB,
});

const times = (a: Capacity, b: Capacity): Capacity => ({
  cpus: a.cpus * b.cpus,
  memoryMiB: a.memoryMiB * b.memoryMiB,
  volumeGiB: a.volumeGiB * b.volumeGiB,
});
