import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { HostDiskFull, isDiskFullError } from '../host-disk.ts';
import { LogSpool } from './log-spool.ts';
import { identityOf } from './process-identity.ts';
import { readSpoolRecord, type SpoolRecord, writeSpoolRecord } from './spool-record.ts';

/** Folder of all spools, in the runner's data directory. */
export function spoolsFolder(dataDirectory: string): string {
  return join(dataDirectory, 'log-spools');
}

/**
 * The spool of one run and what it takes to deliver it: a folder with a name, readable by nobody else, so that the last
 * lines of a run outlive the runner. It is removed when all of them were delivered.
 */
export class SpoolFolder {
  readonly path: string;
  readonly lines: LogSpool;
  #record: SpoolRecord;

  private constructor(path: string, record: SpoolRecord) {
    this.path = path;
    this.#record = record;
    this.lines = new LogSpool(path);
  }

  /** An empty one for a run that this process has claimed. Throws `HostDiskFull`. */
  static create(
    dataDirectory: string,
    run: Pick<SpoolRecord, 'runId' | 'serverUrl' | 'deliveryToken'>,
  ): SpoolFolder {
    const path = join(spoolsFolder(dataDirectory), `${run.runId}-${randomSuffix()}`);
    const record = { ...run, owner: ownIdentity(), sandbox: null };
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      writeSpoolRecord(path, record);
      return new SpoolFolder(path, record);
    } catch (error) {
      rmSync(path, { recursive: true, force: true });
      if (!isDiskFullError(error)) throw error;
      throw new HostDiskFull('There was no place for the log of the run', path, { cause: error });
    }
  }

  /**
   * Takes over what a process that has ended left behind, under a new name: of several that try, one succeeds. Undefined
   * when another one was first, or there is nothing to be delivered.
   */
  static adopt(path: string): SpoolFolder | undefined {
    const adopted = `${path.replace(/-[0-9a-f]{8}$/, '')}-${randomSuffix()}`;
    try {
      renameSync(path, adopted);
    } catch {
      return undefined;
    }
    const record = readSpoolRecord(adopted);
    if (!record) {
      rmSync(adopted, { recursive: true, force: true });
      return undefined;
    }
    const owned = { ...record, owner: ownIdentity() };
    writeSpoolRecord(adopted, owned);
    return new SpoolFolder(adopted, owned);
  }

  get record(): SpoolRecord {
    return this.#record;
  }

  /** The sandbox ends when this process does: should this runner be killed, the next one makes sure of it. */
  sandboxIs(processId: number): void {
    this.#record = { ...this.#record, sandbox: identityOf(processId) ?? null };
    writeSpoolRecord(this.path, this.#record);
  }

  /** It stays, for this process or the next to deliver it. */
  close(): void {
    this.lines.close();
  }

  remove(): void {
    this.lines.close();
    rmSync(this.path, { recursive: true, force: true });
  }
}

function ownIdentity(): SpoolRecord['owner'] {
  const own = identityOf(process.pid);
  if (!own) throw new Error('this process is not to be found in /proc');
  return own;
}

function randomSuffix(): string {
  return crypto.randomUUID().slice(0, 8);
}
