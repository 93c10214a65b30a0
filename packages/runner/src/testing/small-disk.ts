import { execFile } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A disk of its own that can be filled to the last block. Needs root. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async mount(mebibytes: number): Promise<SmallDisk> {
    const path = await mkdtemp(join(tmpdir(), 'slipway-small-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'slipway-small-disk', path]);
    return new SmallDisk(path);
  }

  async freeMiB(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return (bavail * bsize) / 1024 ** 2;
  }

  /** Takes all room, but for so much. */
  async fill(leaveMiB = 0): Promise<void> {
    const file = openSync(this.#ballast, 'a');
    try {
      for (const bytes of [1024 ** 2, 4096, 1]) {
        while ((await this.freeMiB()) - bytes / 1024 ** 2 >= leaveMiB)
          writeSync(file, Buffer.alloc(bytes, 1));
      }
      if (leaveMiB === 0) for (;;) writeSync(file, Buffer.alloc(1, 1));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Gives the room back. */
  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Whatever a failed test has left running lets go of it when it ends.
    await run('umount', ['--lazy', this.path]);
    await rm(this.path, { recursive: true });
  }

  get #ballast(): string {
    return join(this.path, 'ballast');
  }
}
