import { readFileSync, statSync } from 'node:fs';

/** `slipway-<sandbox>.<folder>.<process>.<start of the process>` */
const pattern = /^slipway-[A-Za-z0-9-]+\.([0-9a-f]+-[0-9a-f]+)\.(\d+)\.(\d+)$/;

/**
 * The names that what belongs to a sandbox has on this host: its control groups, processes and files. They tell which
 * process has made it, and for which folder of volumes, so that what a killed runner left is known from what belongs to
 * another runner of the same host, and from everything else.
 */
export class SandboxNames {
  readonly folder: string;
  /** The part of the names that all runners of this folder have in common. */
  readonly identity: string;
  readonly #owner: string;
  readonly #live = new Set<string>();

  constructor(folder: string) {
    this.folder = folder;
    this.identity = folderIdentity(folder);
    this.#owner = `${this.identity}.${process.pid}.${startOf('self')}`;
  }

  /** The name for what belongs to a sandbox from now on, until it is given back. */
  take(sandboxId: string): string {
    const name = `slipway-${sandboxId}.${this.#owner}`;
    this.#live.add(name);
    return name;
  }

  giveBack(name: string): void {
    this.#live.delete(name);
  }

  /** Whether the name was given by a runner of this folder to a sandbox that nobody will end any more. */
  isOrphan(name: string): boolean {
    const [, folder, processId = '', start] = pattern.exec(name) ?? [];
    if (folder !== this.identity) return false;
    if (name.endsWith(`.${this.#owner}`)) return !this.#live.has(name);
    return startOf(processId) !== start;
  }
}

/** The same for every path that leads there, and on the whole host no other folder's. */
function folderIdentity(folder: string): string {
  const { dev, ino } = statSync(folder, { bigint: true });
  return `${dev.toString(16)}-${ino.toString(16)}`;
}

/** When a process was started, in ticks since the host's start: its id may be another's today. Undefined without it. */
function startOf(processId: string): string | undefined {
  try {
    const status = readFileSync(`/proc/${processId}/stat`, 'utf8');
    // The name of the program, in parentheses, may hold anything. One that only waits to be collected makes nothing more.
    const [state = '', ...others] = status.slice(status.lastIndexOf(')') + 2).split(' ');
    return /[ZX]/.test(state) ? undefined : others[18];
  } catch {
    return undefined;
  }
}
