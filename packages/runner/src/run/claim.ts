import { randomUUID } from 'node:crypto';
import {
  type Capacity,
  type ClaimRequest,
  type ClaimResponse,
  completeSize,
  lackOf,
  type SandboxSize,
  spaceOf,
} from '@slipway/core';
import type { CapacityLedger } from '../capacity/capacity-ledger.ts';
import type { PoolCalls } from '../control-plane-client/calls.ts';
import { patientBackOff, untilAnswered } from '../control-plane-client/retry.ts';
import type { PauseWatch } from '../pause.ts';
import type { RunnerLog } from '../runner-options.ts';

const waitSeconds = 20;
const nothing: Capacity = { cpus: 0, memoryMiB: 0, volumeGiB: 0 };

/** A run of this runner, and the place on the host that was counted for it. */
export interface Claimed {
  readonly claim: ClaimResponse;
  readonly release: () => void;
}

/**
 * Waits until there is a run for this runner that fits on its host. The slots of a runner take turns, so that no place is
 * offered twice. A claim whose answer was lost is repeated with the same nonce and gets the same run again, so that no
 * run is held by nobody; one that waits while a place becomes free, or the runner is paused, is asked again in that way.
 */
export class Claims {
  readonly #calls: PoolCalls;
  readonly #ledger: CapacityLedger;
  readonly #pause: PauseWatch;
  readonly #defaultSize: SandboxSize;
  readonly #cacheDiskGiB: number;
  readonly #log: RunnerLog;
  #turn: Promise<unknown> = Promise.resolve();
  #toldLack: string | undefined;

  constructor(
    calls: PoolCalls,
    about: {
      readonly ledger: CapacityLedger;
      readonly pause: PauseWatch;
      readonly defaultSize: SandboxSize;
      /** Of the disk on which a run keeps dependencies; 0 where none does. */
      readonly cacheDiskGiB: number;
      readonly log: RunnerLog;
    },
  ) {
    this.#calls = calls;
    this.#ledger = about.ledger;
    this.#pause = about.pause;
    this.#defaultSize = about.defaultSize;
    this.#cacheDiskGiB = about.cacheDiskGiB;
    this.#log = about.log;
  }

  /** Rejects with the reason of `signal`, or when the claim is refused. */
  next(
    who: Pick<ClaimRequest, 'runnerId' | 'platform' | 'isolation'>,
    signal: AbortSignal,
  ): Promise<Claimed> {
    const claimed = this.#turn.then(() => this.#claim(who, signal));
    this.#turn = claimed.catch(() => undefined);
    return claimed;
  }

  async #claim(
    who: Pick<ClaimRequest, 'runnerId' | 'platform' | 'isolation'>,
    signal: AbortSignal,
  ): Promise<Claimed> {
    const nonce = randomUUID();
    for (;;) {
      signal.throwIfAborted();
      const changed = AbortSignal.any([this.#ledger.released, this.#pause.changed]);
      const either = AbortSignal.any([signal, changed]);
      const { isPaused } = this.#pause;
      const { now, empty } = await this.#ledger.available();
      this.#tellLack(lackOf(this.#defaultSize, now));
      // A paused runner asks on: for a run that it was given already, and so that it is known why nobody takes another.
      const capacity = {
        ...{ now: isPaused ? nothing : now, empty, defaultSize: this.#defaultSize },
        cacheDiskGiB: this.#cacheDiskGiB,
      };
      const request = { ...who, nonce, waitSeconds, capacity, isPaused };
      const claim = await untilAnswered(() => this.#calls.claim(request, either), {
        signal: either,
        backOff: patientBackOff,
        failed: (error, tries) => this.#log.warn({ err: error, tries }, 'No answer to a claim; trying again'),
      }).catch((error: unknown) => {
        if (changed.aborted && !signal.aborted) return undefined;
        throw error;
      });
      if (!claim) continue;
      const { sandbox, cache } = claim.run;
      const size = completeSize(sandbox, this.#defaultSize);
      const release = this.#ledger.promise(spaceOf(size, cache === null ? 0 : this.#cacheDiskGiB));
      return { claim, release };
    }
  }

  /** A host that is full of sandboxes is at work; one that is full of other things should be looked at. */
  #tellLack(lack: string | undefined): void {
    if (!this.#ledger.isEmpty || lack === this.#toldLack) return;
    this.#toldLack = lack;
    if (lack === undefined) this.#log.warn({}, 'There is room for a run again');
    else {
      this.#log.warn(
        {},
        `Not claiming runs of the default size: ${lack}. Free some, choose a smaller size (--cpus, --memory-mib, --volume-gib), or allow promising more than there is (--overcommit-cpus, --overcommit-memory, --overcommit-disk).`,
      );
    }
  }
}
