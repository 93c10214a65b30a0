import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Who uses which device. A holder has a hard link of its own to the file: a device with more than one name is in use, and
 * even were its first name removed, the holder would keep it. Links of a process that has ended are removed by the next
 * process that looks.
 */
export class Holders {
  readonly #folder: string;
  #own: Promise<string> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Holds a device; answers the path to use. Undefined when the device is gone. */
  async hold(devicePath: string): Promise<string | undefined> {
    this.#own ??= this.#makeOwnFolder();
    const path = join(await this.#own, `${randomUUID()}.erofs`);
    try {
      await link(devicePath, path);
      return path;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Ends one hold. May be called twice. */
  async release(path: string): Promise<void> {
    await rm(path, { force: true });
  }

  /** Removes what processes held that have ended. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const [processId = '', startedAt] = name.split('-');
      if ((await startOf(processId)) !== startedAt) await rm(join(this.#folder, name), { recursive: true });
    }
  }

  /** Releases whatever is held still. */
  async close(): Promise<void> {
    if (this.#own) await rm(await this.#own, { recursive: true, force: true });
    this.#own = undefined;
  }

  async #makeOwnFolder(): Promise<string> {
    const folder = join(this.#folder, `${process.pid}-${await startOf('self')}-${randomUUID()}`);
    await mkdir(folder, { recursive: true });
    return folder;
  }
}

/** When a process was started, in ticks since the host's start: together with its id it names it. Undefined without it. */
async function startOf(processId: string): Promise<string | undefined> {
  const status = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => '');
  // The name of the program, in parentheses, may hold anything.
  return status.slice(status.lastIndexOf(')') + 2).split(' ')[19];
}
