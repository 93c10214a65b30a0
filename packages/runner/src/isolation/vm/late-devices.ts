import { closeSync, openSync } from 'node:fs';
import { SandboxStartError } from '../isolation.ts';
import type { GuestEvent, InitChannel } from './init-channel.ts';
import type { Qmp } from './qmp.ts';

const deviceName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What one virtio-scsi controller has room for. */
const mostDevices = 255;
/** An emulated guest on a busy host takes seconds. */
const attachDeadlineMilliseconds = 60_000;

/** The devices that a machine gets while it runs: SCSI disks, as microvm cannot take others late. */
export class LateDevices {
  readonly #qmp: Qmp;
  readonly #init: InitChannel;
  readonly #sendDescriptorPath: string;
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  #lastTarget = 0;
  /** One after the other: a file travels on the same socket as the commands. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(qmp: Qmp, init: InitChannel, sendDescriptorPath: string) {
    this.#qmp = qmp;
    this.#init = init;
    this.#sendDescriptorPath = sendDescriptorPath;
  }

  /** Answers once it is mounted inside. Rejects when QEMU or the guest refuses, or the machine ends. */
  attach({ name, path }: { name: string; path: string }): Promise<void> {
    if (!deviceName.test(name)) throw new RangeError(`"${name}" cannot be the name of a device.`);
    const attached = this.#queue.then(() => this.#attach(name, path));
    this.#queue = attached.catch(() => {});
    return attached;
  }

  hear({ name, error }: Extract<GuestEvent, { event: 'attached' }>): void {
    const waiting = this.#waiting.get(name);
    this.#waiting.delete(name);
    if (error === null) waiting?.resolve();
    else waiting?.reject(new Error(`The device "${name}" could not be mounted in the guest: ${error}.`));
  }

  /** The machine has ended. */
  close(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('The sandbox has ended.'));
    this.#waiting.clear();
  }

  /**
   * Gives the machine the disk that the open file is, which the caller may close then. Answers its SCSI target. A disk
   * that is not read-only has to be open for writing too.
   */
  plug(descriptor: number, { isReadOnly }: { readonly isReadOnly: boolean }): Promise<number> {
    const plugged = this.#queue.then(() => this.#plug(descriptor, isReadOnly));
    this.#queue = plugged.catch(() => {});
    return plugged;
  }

  async #attach(name: string, path: string): Promise<void> {
    const descriptor = openSync(path, 'r');
    const target = await this.#plug(descriptor, true).finally(() => closeSync(descriptor));
    const mounted = Promise.withResolvers<void>();
    this.#waiting.set(name, mounted);
    this.#init.send(`attach ${name} ${target}`);
    const late = new Error(`The guest did not take the device "${name}" in time.`);
    const deadline = setTimeout(() => mounted.reject(late), attachDeadlineMilliseconds);
    await mounted.promise.finally(() => clearTimeout(deadline));
  }

  async #plug(descriptor: number, isReadOnly: boolean): Promise<number> {
    if (this.#lastTarget === mostDevices) throw new SandboxStartError('No more devices can be attached.');
    this.#lastTarget += 1;
    const target = this.#lastTarget;
    const node = `late${target}`;
    const set = 100 + target;
    await this.#qmp.executeWithDescriptor(this.#sendDescriptorPath, descriptor, 'add-fd', {
      'fdset-id': set,
    });
    const file = { driver: 'file', filename: `/dev/fdset/${set}`, locking: 'off', 'node-name': node };
    const access = isReadOnly
      ? { 'read-only': true }
      : { 'read-only': false, discard: 'unmap', cache: { 'no-flush': true } };
    await this.#qmp.execute('blockdev-add', { ...file, ...access });
    const disk = { driver: 'scsi-hd', bus: 'late.0', 'scsi-id': target, lun: 0 };
    await this.#qmp.execute('device_add', { ...disk, drive: node, id: node });
    return target;
  }
}
