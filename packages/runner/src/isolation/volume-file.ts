import { close, fstatSync } from 'node:fs';

const blockBytes = 512;

/** The file of a volume, which has no name: kept open as long as somebody wants to know how much of the disk it takes. */
export class VolumeFile {
  readonly #descriptor: number;
  #allocatedBytes = 0;
  #isClosed = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** The last figure once it is closed. */
  get allocatedBytes(): number {
    if (!this.#isClosed) this.#allocatedBytes = fstatSync(this.#descriptor).blocks * blockBytes;
    return this.#allocatedBytes;
  }

  /** May be called twice. Where nobody else has it open this frees gigabytes, which would hold everything else up here. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await new Promise<void>((resolve, reject) => {
      close(this.#descriptor, (error) => (error ? reject(error) : resolve()));
    });
  }
}
