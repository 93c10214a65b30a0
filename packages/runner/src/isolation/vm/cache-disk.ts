import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { type CacheDevice, DamagedDevice } from '../isolation.ts';
import type { GuestEvent, InitChannel } from './init-channel.ts';
import type { LateDevices } from './late-devices.ts';
import { formatVolume } from './volume.ts';

type CacheEvent = Extract<GuestEvent, { event: 'cache-mounted' | 'cache-sealed' }>;

/** The guest's answer is on its way for a moment after its own deadline. */
const answerMilliseconds = 500;

/**
 * The disk of a dependency cache: ext4, made by this host while it is empty, and from then on known to guests alone. The
 * guest's init mounts it, in the container too, which itself may mount nothing.
 */
export class CacheDisk implements CacheDevice {
  readonly #devices: LateDevices;
  readonly #init: InitChannel;
  readonly #diskGiB: number;
  readonly #waiting = new Map<CacheEvent['event'], PromiseWithResolvers<CacheEvent>>();
  #isClosed = false;

  constructor(devices: LateDevices, init: InitChannel, diskGiB: number) {
    this.#devices = devices;
    this.#init = init;
    this.#diskGiB = diskGiB;
  }

  async mountNew(file: string, folders: readonly string[], milliseconds: number): Promise<void> {
    const deadline = performance.now() + milliseconds;
    const descriptor = openSync(file, 'r+');
    try {
      ftruncateSync(descriptor, this.#diskGiB * 1024 ** 3);
      await formatVolume(descriptor);
      const target = await this.#devices.plug(descriptor, { isReadOnly: false });
      await this.#mount('new', target, folders, deadline);
    } finally {
      closeSync(descriptor);
    }
  }

  async mountKept(file: string, folders: readonly string[], milliseconds: number): Promise<void> {
    const deadline = performance.now() + milliseconds;
    const descriptor = openSync(file, 'r');
    try {
      const target = await this.#devices.plug(descriptor, { isReadOnly: true });
      await this.#mount('kept', target, folders, deadline);
    } finally {
      closeSync(descriptor);
    }
  }

  async seal(milliseconds: number): Promise<void> {
    const sealed = this.#answer('cache-sealed', milliseconds);
    this.#init.send('seal-cache');
    const { error } = await sealed;
    if (error !== null) throw new Error(`the device could not be sealed: ${error}`);
  }

  hear(event: CacheEvent): void {
    this.#waiting.get(event.event)?.resolve(event);
    this.#waiting.delete(event.event);
  }

  /** The machine has ended. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.values()) reject(new Error('the sandbox has ended'));
    this.#waiting.clear();
  }

  async #mount(kind: 'new' | 'kept', target: number, folders: readonly string[], deadline: number) {
    const left = Math.max(0, Math.floor(deadline - performance.now()));
    const mounted = this.#answer('cache-mounted', left + answerMilliseconds);
    this.#init.sendFile('bundle/cache-folders', folders.map((folder) => `${folder}\n`).join(''));
    this.#init.send(`cache ${kind} ${target} ${left}`);
    const { error, diskIsDamaged } = await mounted;
    if (error === null) return;
    throw diskIsDamaged ? new DamagedDevice(error) : new Error(`the device could not be mounted: ${error}`);
  }

  /** One question at a time: the next answer of a kind is that to the last question. */
  async #answer(event: CacheEvent['event'], milliseconds: number): Promise<CacheEvent> {
    const answer = Promise.withResolvers<CacheEvent>();
    if (this.#isClosed) answer.reject(new Error('the sandbox has ended'));
    this.#waiting.set(event, answer);
    const timer = setTimeout(
      () => answer.reject(new Error('the guest did not answer in time')),
      milliseconds,
    );
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(event);
    }
  }
}
