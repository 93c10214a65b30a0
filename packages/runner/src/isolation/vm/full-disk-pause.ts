import { HostDiskFull, roomPatienceSeconds, roomReturns } from '../../host-disk.ts';
import type { Qmp } from './qmp.ts';

export interface FullDiskPauseOptions {
  /** Where the files are that the machine writes to. */
  readonly folder: string;
  /** Lets the machine go on. */
  readonly qmp: Pick<Qmp, 'execute'>;
  /** The disk stayed full: the machine will not go on. */
  readonly givenUp: (error: HostDiskFull) => void;
  /** 30 s when absent. */
  readonly patienceMilliseconds?: number | undefined;
}

/**
 * A machine that writes to a full disk of the host is stopped by QEMU, in the middle of that write, and sees nothing of
 * it (`werror=enospc`, QEMU's default). It goes on with the same write once there is room again.
 */
export class FullDiskPause {
  readonly #options: FullDiskPauseOptions;
  readonly #closed = new AbortController();
  #isPaused = false;

  constructor(options: FullDiskPauseOptions) {
    this.#options = options;
  }

  /** Whether the machine stands still. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** QEMU has stopped the machine. */
  async begin(): Promise<void> {
    // Several writes may be under way.
    if (this.#isPaused) return;
    this.#isPaused = true;
    const { folder, qmp, givenUp, patienceMilliseconds = roomPatienceSeconds * 1000 } = this.#options;
    const hasRoom = await roomReturns(folder, patienceMilliseconds, this.#closed.signal);
    this.#isPaused = false;
    if (this.#closed.signal.aborted) return;
    if (hasRoom)
      await qmp.execute('cont').catch(() => undefined); // It has ended meanwhile.
    else givenUp(new HostDiskFull('The virtual machine could write no more to its volume', folder));
  }

  /** The machine has ended. */
  close(): void {
    this.#closed.abort();
  }
}
