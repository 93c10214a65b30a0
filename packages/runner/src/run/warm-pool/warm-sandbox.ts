import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { EgressPolicy, SandboxSize } from '@slipway/core';
import type { HeldImage } from '../../images/image-store.ts';
import type { SandboxNetwork } from '../../network/sandbox-network.ts';
import type { RunnerOptions, RunnerParts } from '../../runner-options.ts';
import { HeldResources } from '../held-resources.ts';
import type { MonotonicClock } from '../phases.ts';
import {
  endExecutor,
  type ReadyExecutor,
  startDeadline,
  startExecutor,
  untilReady,
} from '../start-executor.ts';

/** What a sandbox that waits is for: it fits a run that wants the same. */
export interface WarmKind {
  /** Of the image, as runs name it. */
  readonly imageReference: string;
  readonly size: SandboxSize;
  /** Time without a word from the runner after which it ends by itself. */
  readonly silenceSeconds: number;
}

/** What a run takes over. */
export interface Waited {
  readonly image: HeldImage;
  /** Not opened yet: what it may reach is decided by the run. */
  readonly network: SandboxNetwork;
  readonly executor: ReadyExecutor;
  readonly ageSeconds: number;
}

export interface WarmSandboxContext {
  readonly options: RunnerOptions;
  readonly parts: Pick<RunnerParts, 'createNetwork' | 'images' | 'isolation' | 'toolbox'>;
  readonly clock: MonotonicClock;
}

/**
 * A sandbox that is started before there is a run for it, and waits with its executor ready. It knows nothing of any
 * run, has no secret, and its network leads nowhere. It is given away once, and never taken back.
 */
export class WarmSandbox {
  readonly kind: WarmKind;
  /** Settles when it waits for a run; rejects when it never will. */
  readonly ready: Promise<void>;
  /** Answers why it is of no use any more: it could not be started, or ended by itself. */
  readonly lost: Promise<unknown>;
  readonly #context: WarmSandboxContext;
  readonly #startedAt: number;
  readonly #resources: HeldResources;
  readonly #leaving = new AbortController();
  #isLost = false;
  #waited: Omit<Waited, 'ageSeconds'> | undefined;
  #processId: number | undefined;

  constructor(kind: WarmKind, context: WarmSandboxContext) {
    this.kind = kind;
    this.#context = context;
    this.#startedAt = context.clock();
    this.#resources = new HeldResources(context.options.log);
    const making = this.#makeInTime();
    this.ready = making.then(() => undefined);
    this.lost = making.then(
      async ({ executor }) => {
        const { message } = await executor.sandbox.exited;
        return new Error(`it ended while it waited: ${message}`);
      },
      (error: unknown) => error,
    );
    this.ready.catch(() => undefined);
    void this.lost.then(() => {
      this.#isLost = true;
    });
  }

  /** Whether it can be given away. */
  get isReady(): boolean {
    return this.#waited !== undefined && !this.#isLost;
  }

  get ageSeconds(): number {
    return Math.round((this.#context.clock() - this.#startedAt) / 1000);
  }

  /** Digest of its image; undefined as long as that is not known. */
  get imageDigest(): string | undefined {
    return this.#waited?.image.digest;
  }

  /** Memory that it really takes on the host by now. */
  get residentMiB(): number {
    return this.#processId === undefined ? 0 : residentMiBOf(this.#processId);
  }

  /** Opens its network for the run that is to have it. Rejects when it does not come to that. */
  async open(policy: EgressPolicy): Promise<void> {
    await this.ready;
    await this.#waited?.network.open(policy);
  }

  /** Gives it to a run, whose it is from now on, to the last part. Throws when it is not ready, or was given away. */
  give(): Waited {
    const waited = this.#waited;
    if (waited === undefined) throw new Error('a sandbox that is not there cannot be given to a run');
    this.#waited = undefined;
    this.#resources.forget();
    return { ...waited, ageSeconds: this.ageSeconds };
  }

  /** Answers when nothing of it is left that was not given away. May be called twice. */
  async destroy(): Promise<void> {
    this.#leaving.abort(new Error('the sandbox is not waited for any more'));
    this.#waited = undefined;
    await this.#resources.destroyAll();
  }

  async #makeInTime(): Promise<Omit<Waited, 'ageSeconds'>> {
    const late = Promise.withResolvers<never>();
    const isMade = startDeadline(this.#context.options, (reason) => late.reject(reason));
    try {
      const made = await Promise.race([this.#make(), late.promise]);
      this.#leaving.signal.throwIfAborted();
      this.#waited = made;
      return made;
    } catch (error) {
      await this.destroy();
      throw error;
    } finally {
      isMade();
    }
  }

  async #make(): Promise<Omit<Waited, 'ageSeconds'>> {
    const { imageReference, size, silenceSeconds } = this.kind;
    const { images, createNetwork } = this.#context.parts;
    const { signal } = this.#leaving;
    const image = await this.#hold(
      'image',
      () => images.resolve(imageReference, { signal }),
      (held) => held.release(),
    );
    const network = await this.#hold('network', createNetwork, (made) => made.destroy());
    const id = `warm-${randomBytes(6).toString('hex')}`;
    const start = { id, image, network, size, silenceSeconds };
    const executor = await this.#hold(
      'sandbox',
      () => startExecutor(this.#context.parts, start),
      endExecutor,
    );
    const boot = await executor.sandbox.started;
    this.#processId = await executor.sandbox.hostProcess;
    await untilReady(executor);
    return { image, network, executor: { ...executor, boot } };
  }

  /** Nothing more is begun once it leaves. */
  #hold<T>(name: string, make: () => Promise<T>, destroy: (made: T) => Promise<unknown>): Promise<T> {
    this.#leaving.signal.throwIfAborted();
    return this.#resources.hold(name, make(), destroy);
  }
}

/** 0 where that is not known. */
function residentMiBOf(processId: number): number {
  try {
    const status = readFileSync(`/proc/${processId}/status`, 'utf8');
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
