import {
  type Capacity,
  type CapacityOptions,
  type IsolationKind,
  lackOf,
  type SandboxSize,
} from '@slipway/core';
import type { HostResources } from './host-resources.ts';

/** Memory of the host that a sandbox takes beside its own: QEMU and the code that it translates; crun and its like. */
const memoryOverheadMiB: Readonly<Record<IsolationKind, number>> = { vm: 256, gvisor: 64, container: 32 };

/** A sandbox that was started ahead of its run. */
export interface WaitingSandbox {
  readonly size: SandboxSize;
  /** Memory that it really takes by now. */
  readonly residentMiB: () => number;
}

/**
 * What the sandboxes of a runner were promised. A sandbox takes its memory and disk little by little, so what is free at
 * a moment says nothing of what was promised: both have to suffice.
 *
 * A sandbox that waits for a run is promised memory and disk, and takes no processor. It gives way to runs.
 */
export class CapacityLedger {
  readonly #options: CapacityOptions;
  readonly #overheadMiB: number;
  readonly #measure: () => Promise<HostResources>;
  readonly #promised = new Set<Capacity>();
  readonly #waiting = new Set<WaitingSandbox>();
  #released = new AbortController();

  constructor(isolation: IsolationKind, options: CapacityOptions, measure: () => Promise<HostResources>) {
    this.#options = options;
    this.#overheadMiB = memoryOverheadMiB[isolation];
    this.#measure = measure;
  }

  /**
   * The largest sandbox of a run that fits: into the host as it is now, without what waits, and into one on which no
   * other sandbox runs.
   */
  async available(): Promise<{ now: Capacity; empty: Capacity }> {
    const { total, free } = await this.#measure();
    const resident = [...this.#waiting].reduce((sum, { residentMiB }) => sum + residentMiB(), 0);
    const withoutWaiting = { ...free, memoryMiB: Math.min(total.memoryMiB, free.memoryMiB + resident) };
    const now = this.#left({ total, free: withoutWaiting }, [...this.#promised]);
    return { now: this.#sandbox(now), empty: this.#sandbox(this.#whole(total)) };
  }

  /** Whether one more sandbox of this size may wait for a run, beside all that runs and waits. */
  async hasRoomToWait(size: SandboxSize): Promise<boolean> {
    const measured = await this.#measure();
    const left = this.#sandbox(this.#left(measured, this.#everything()));
    return lackOf(size, { ...left, cpus: this.#whole(measured.total).cpus }) === undefined;
  }

  /** Whether something that waits has to go, so that a run of this size, which is counted already, can start. */
  async isCrowdedBy(size: SandboxSize): Promise<boolean> {
    if (this.#waiting.size === 0) return false;
    const { total, free } = await this.#measure();
    const promised = this.#everything().reduce(plus, nothing);
    const freeNow = this.#withoutReserve(times(free, this.#options.overcommit));
    return (
      promised.memoryMiB > this.#whole(total).memoryMiB ||
      this.#withOverhead(size).memoryMiB > freeNow.memoryMiB ||
      promised.volumeGiB > freeNow.volumeGiB
    );
  }

  /** Counts a sandbox of a run of this size until the answer is called. */
  promise(size: SandboxSize): () => void {
    return this.#count(this.#promised, this.#withOverhead(size));
  }

  /** Counts a sandbox that waits until the answer is called. */
  promiseWaiting(waiting: WaitingSandbox): () => void {
    return this.#count(this.#waiting, waiting);
  }

  /** Aborts as soon as a promise ends that is held now. */
  get released(): AbortSignal {
    return this.#released.signal;
  }

  /** Whether no run is counted. */
  get isEmpty(): boolean {
    return this.#promised.size === 0;
  }

  #count<T>(counted: Set<T>, one: T): () => void {
    counted.add(one);
    return () => {
      if (!counted.delete(one)) return;
      this.#released.abort();
      this.#released = new AbortController();
    };
  }

  /** What these promises leave. */
  #left({ total, free }: HostResources, promises: readonly Capacity[]): Capacity {
    const whole = this.#whole(total);
    const freeNow = this.#withoutReserve(times(free, this.#options.overcommit));
    const promised = promises.reduce(plus, nothing);
    return {
      cpus: whole.cpus - promised.cpus,
      memoryMiB: Math.min(whole.memoryMiB - promised.memoryMiB, freeNow.memoryMiB),
      // Volumes are files of this disk: what they hold is neither free nor still promised, and is counted twice here.
      // Promising more than there is does not make the reserve smaller: the runner's own files live on it.
      volumeGiB: this.#withoutReserve(free).volumeGiB < 0 ? 0 : freeNow.volumeGiB - promised.volumeGiB,
    };
  }

  #everything(): Capacity[] {
    const waiting = [...this.#waiting].map(({ size }) => ({ ...this.#withOverhead(size), cpus: 0 }));
    return [...this.#promised, ...waiting];
  }

  #withOverhead(size: SandboxSize): Capacity {
    return { ...size, memoryMiB: size.memoryMiB + this.#overheadMiB };
  }

  #whole(total: Capacity): Capacity {
    return this.#withoutReserve(times(total, this.#options.overcommit));
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
