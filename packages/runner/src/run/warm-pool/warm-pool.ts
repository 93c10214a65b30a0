import type { SandboxSize } from '@slipway/core';
import type { CapacityLedger } from '../../capacity/capacity-ledger.ts';
import { pause } from '../../control-plane-client/retry.ts';
import type { PauseWatch } from '../../pause.ts';
import { type WarmKind, WarmSandbox, type WarmSandboxContext } from './warm-sandbox.ts';

/** A sandbox that is older is replaced: tags move on, and what waits on a host should be forgotten now and then. */
const oldestSeconds = 30 * 60;
const lookMilliseconds = 10_000;
const firstBackOffMilliseconds = 5_000;
const mostBackOffMilliseconds = 5 * 60_000;

export interface WarmPoolOptions extends WarmSandboxContext {
  readonly ledger: CapacityLedger;
  readonly pause: Pick<PauseWatch, 'isPaused' | 'changed'>;
  /** How many wait of each kind. */
  readonly count: number;
  readonly kinds: readonly WarmKind[];
}

/**
 * Keeps sandboxes waiting for runs. Each is given to one run and replaced; so is one that ended by itself, or has waited
 * for long. They give way: none is started while a run starts, and where a run needs their room they go. A paused runner
 * has none.
 */
export class WarmPool {
  readonly #options: WarmPoolOptions;
  /** What waits, the longest first, and what stops counting its memory. */
  readonly #waiting = new Map<WarmSandbox, () => void>();
  readonly #closing = new AbortController();
  readonly #kept: Promise<void>;
  #changed = new AbortController();
  #startingRuns = 0;
  #failures = 0;
  #notBefore = 0;
  #lacksRoom = false;

  constructor(options: WarmPoolOptions) {
    this.#options = options;
    this.#kept = this.#keep();
  }

  /** How many are ready for a run. */
  get readyCount(): number {
    return [...this.#waiting.keys()].filter(({ isReady }) => isReady).length;
  }

  /** One for a run that wants this, ready or about to be; it is the caller's then. Or the reason why there is none. */
  take({ imageReference, size, silenceSeconds }: WarmKind): WarmSandbox | { readonly lack: string } {
    const fitsImage = (kind: WarmKind) => kind.imageReference === imageReference;
    const fits = (kind: WarmKind) => fitsImage(kind) && isSameSize(kind.size, size);
    const { kinds } = this.#options;
    if (!kinds.some(fitsImage)) return { lack: `none is kept for the image "${imageReference}"` };
    if (!kinds.some(fits)) return { lack: 'those that are kept have another size' };
    const fitting = [...this.#waiting.keys()].filter(
      ({ kind }) => fits(kind) && kind.silenceSeconds <= silenceSeconds,
    );
    const taken = fitting.find(({ isReady }) => isReady) ?? fitting[0];
    if (!taken) return { lack: 'the next one is not started yet' };
    this.#remove(taken);
    return taken;
  }

  /** The image of a reference is another one now: what waits with an older one is replaced. */
  async imageIs(imageReference: string, digest: string): Promise<void> {
    const outdated = [...this.#waiting.keys()].filter(
      (one) =>
        one.kind.imageReference === imageReference &&
        one.imageDigest !== undefined &&
        one.imageDigest !== digest,
    );
    await Promise.all(outdated.map((one) => this.#drop(one)));
  }

  /** Ends what waits until a sandbox of a run, which is counted already, fits. */
  async makeRoom(size: SandboxSize): Promise<void> {
    while (await this.#options.ledger.isCrowdedBy(size)) {
      const all = [...this.#waiting.keys()];
      const leaving = all.find(({ isReady }) => !isReady) ?? all[0];
      if (!leaving) return;
      await this.#drop(leaving);
    }
  }

  /** A run starts: until the answer is called it has the processors for itself. */
  runStarts(): () => void {
    let isStarting = true;
    this.#startingRuns += 1;
    return () => {
      if (isStarting) this.#startingRuns -= 1;
      isStarting = false;
      this.#wake();
    };
  }

  /** Answers when nothing waits any more. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the runner ends'));
    await this.#dropAll();
    await this.#kept;
  }

  async #keep(): Promise<void> {
    const { ledger, pause: pausing, options } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const changed = AbortSignal.any([signal, this.#changed.signal, ledger.released, pausing.changed]);
      try {
        await this.#look();
      } catch (error) {
        options.log.error({ err: error }, 'The sandboxes that wait for runs could not be looked after');
      }
      await pause(lookMilliseconds, changed).catch(() => undefined);
    }
    await this.#dropAll();
  }

  async #look(): Promise<void> {
    if (this.#options.pause.isPaused) return this.#dropAll();
    const old = [...this.#waiting.keys()].filter((one) => one.ageSeconds > oldestSeconds);
    await Promise.all(old.map((one) => this.#drop(one)));
    const kind = this.#missing();
    if (!kind || !this.#mayStart || !(await this.#hasRoom(kind))) return;
    if (this.#mayStart) await this.#start(kind);
    this.#wake();
  }

  get #mayStart(): boolean {
    const isTime = this.#options.clock() >= this.#notBefore;
    return isTime && this.#startingRuns === 0 && !this.#closing.signal.aborted;
  }

  #missing(): WarmKind | undefined {
    const { kinds, count } = this.#options;
    const waiting = [...this.#waiting.keys()];
    return kinds.find((kind) => waiting.filter((one) => one.kind === kind).length < count);
  }

  async #hasRoom({ size }: WarmKind): Promise<boolean> {
    const { ledger, options } = this.#options;
    const hasRoom = await ledger.hasRoomToWait(size);
    if (!hasRoom && !this.#lacksRoom && ledger.isEmpty) {
      options.log.warn(
        {},
        'There is no room for all sandboxes that --warm asks for; see --memory-mib, --volume-gib',
      );
    }
    this.#lacksRoom = !hasRoom;
    return hasRoom;
  }

  /** Settles when it waits, or never will. */
  async #start(kind: WarmKind): Promise<void> {
    const { ledger, options, clock } = this.#options;
    const sandbox = new WarmSandbox(kind, this.#options);
    const residentMiB = () => sandbox.residentMiB;
    this.#waiting.set(sandbox, ledger.promiseWaiting({ size: kind.size, residentMiB }));
    void sandbox.lost.then((reason) => this.#lost(sandbox, reason));
    const begun = clock();
    try {
      await sandbox.ready;
    } catch {
      return; // The reason is told where it is lost.
    }
    this.#failures = 0;
    const milliseconds = Math.round(clock() - begun);
    options.log.info({ image: kind.imageReference, milliseconds }, 'A sandbox waits for a run');
  }

  /** One that was given away or dropped is missed by nobody. */
  #lost(sandbox: WarmSandbox, reason: unknown): void {
    if (!this.#waiting.has(sandbox)) return;
    const { options, clock } = this.#options;
    options.log.warn(
      { err: reason, image: sandbox.kind.imageReference },
      'There is a sandbox less that waits for runs; trying again',
    );
    const backOff = firstBackOffMilliseconds * 2 ** this.#failures;
    this.#failures += 1;
    this.#notBefore = clock() + Math.min(backOff, mostBackOffMilliseconds);
    void this.#drop(sandbox);
  }

  #remove(sandbox: WarmSandbox): void {
    const stopCounting = this.#waiting.get(sandbox);
    this.#waiting.delete(sandbox);
    stopCounting?.();
    this.#wake();
  }

  /** Its memory counts until it is gone. */
  async #drop(sandbox: WarmSandbox): Promise<void> {
    const stopCounting = this.#waiting.get(sandbox);
    this.#waiting.delete(sandbox);
    await sandbox.destroy();
    stopCounting?.();
    this.#wake();
  }

  async #dropAll(): Promise<void> {
    await Promise.all([...this.#waiting.keys()].map((one) => this.#drop(one)));
  }

  #wake(): void {
    this.#changed.abort();
    this.#changed = new AbortController();
  }
}

function isSameSize(one: SandboxSize, other: SandboxSize): boolean {
  return one.cpus === other.cpus && one.memoryMiB === other.memoryMiB && one.volumeGiB === other.volumeGiB;
}
