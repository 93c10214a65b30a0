import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pauseMilliseconds = 250;
/** Processes come and go; what is in a file stays for longer, and takes longer to be read. */
const filePauseMilliseconds = 500;
const maximumFileBytes = 128 * 1024 * 1024;

/** Where a canary was seen: a file, or `/proc/<process>/cmdline` or `environ` with what the process is. */
export interface Sighting {
  readonly canary: string;
  readonly place: string;
}

interface ProcessLook {
  readonly id: string;
  readonly commandLine: Buffer;
  readonly pidNamespace: string;
  /** Its id in the innermost PID namespace that it is in. */
  readonly innerId: string;
}

/**
 * Looks for texts that must not be seen in the command line and the environment of every process of this host, in every
 * file below some folders, and in the files without a name that this process has open. Texts are found as they are,
 * inside JSON, and as base64 in each of its three alignments.
 *
 * A step of a run legitimately has its secrets in its environment, and the processes of a container are visible here.
 * Exactly these environments are counted apart, as `ofSteps`: processes in the PID namespace of a container's executor
 * other than the executor itself, which gets the secrets over its channel. Their command lines are searched as all.
 */
export class SecretSearch {
  readonly sightings: Sighting[] = [];
  readonly ofSteps: Sighting[] = [];
  /** How often it looked everywhere. */
  looks = 0;
  readonly #needles: readonly { canary: string; bytes: Buffer }[];
  readonly #folders: readonly string[];
  readonly #executorNamespaces = new Set<string>();
  /** Processes with more rights than this one that were here at the first look: nobody here can have started them. */
  readonly #foreign = new Set<string>();
  /** What a file looked like when it was read: one that has not changed is not read again. */
  readonly #read = new Map<string, string>();

  /** Canaries have 8 characters or more. */
  constructor(canaries: readonly string[], folders: readonly string[]) {
    this.#needles = canaries.flatMap((canary) =>
      formsOf(canary).map((form) => ({ canary, bytes: Buffer.from(form) })),
    );
    this.#folders = folders;
  }

  /** The canaries that `bytes` hold in any form. */
  find(bytes: Buffer): string[] {
    const found = this.#needles.filter((needle) => bytes.includes(needle.bytes));
    return [...new Set(found.map(({ canary }) => canary))];
  }

  /** Looks everywhere, again and again, and at processes more often, while `work` goes on and once after it. */
  async during<Result>(work: Promise<Result>): Promise<Result> {
    const end = new AbortController();
    const watching = this.#watch(end.signal);
    try {
      return await work;
    } finally {
      end.abort();
      await watching;
    }
  }

  async look(): Promise<void> {
    await this.#searchProcesses();
    for (const folder of this.#folders) await this.#searchFolder(folder);
    await this.#searchUnnamedFiles();
    this.looks += 1;
  }

  async #watch(end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      await this.look();
      const lookedAt = performance.now();
      while (!end.aborted && performance.now() - lookedAt < filePauseMilliseconds) {
        await sleep(pauseMilliseconds);
        await this.#searchProcesses();
      }
    }
    await this.look();
  }

  async #searchProcesses(): Promise<void> {
    const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const processes = (await Promise.all(ids.map((id) => this.#readProcess(id)))).filter(
      (process) => process !== undefined,
    );
    for (const { innerId, commandLine, pidNamespace } of processes) {
      if (innerId === '1' && commandLine.includes('/slipway/')) this.#executorNamespaces.add(pidNamespace);
    }
    for (const process of processes) {
      const name = commandName(process);
      this.#note(this.sightings, process.commandLine, `/proc/${process.id}/cmdline (${name})`);
      const environment = await readFile(`/proc/${process.id}/environ`).catch(ended);
      const isStep = this.#executorNamespaces.has(process.pidNamespace) && process.innerId !== '1';
      const list = isStep ? this.ofSteps : this.sightings;
      if (environment) this.#note(list, environment, `/proc/${process.id}/environ (${name})`);
    }
  }

  async #readProcess(id: string): Promise<ProcessLook | undefined> {
    if (this.#foreign.has(id)) return undefined;
    try {
      const [commandLine, status, pidNamespace] = await Promise.all([
        readFile(`/proc/${id}/cmdline`),
        readFile(`/proc/${id}/status`, 'utf8'),
        readlink(`/proc/${id}/ns/pid`),
      ]);
      const innerId = /^NSpid:.*\s(\d+)$/m.exec(status)?.[1] ?? id;
      return { id, commandLine, pidNamespace, innerId };
    } catch (error) {
      if (this.looks > 0 || !hasCode(error, 'EACCES')) return ended(error);
      this.#foreign.add(id);
      return undefined;
    }
  }

  async #searchFolder(folder: string): Promise<void> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(ended);
    for (const entry of entries ?? []) {
      if (!entry.isFile()) continue;
      await this.#searchFile(join(entry.parentPath, entry.name));
    }
  }

  /** Logs wait for the control plane in such files. Larger ones are volumes, which belong to what runs in a sandbox. */
  async #searchUnnamedFiles(): Promise<void> {
    for (const descriptor of await readdir('/proc/self/fd')) {
      const path = `/proc/self/fd/${descriptor}`;
      const target = await readlink(path).catch(ended);
      if (target?.endsWith(' (deleted)')) await this.#searchFile(path);
    }
  }

  async #searchFile(path: string): Promise<void> {
    const status = await stat(path, { bigint: true }).catch(ended);
    if (!status?.isFile() || status.size > maximumFileBytes) return;
    const version = `${status.ino} ${status.size} ${status.mtimeNs}`;
    if (this.#read.get(path) === version) return;
    const content = await readFile(path).catch(ended);
    if (!content) return;
    this.#read.set(path, version);
    this.#note(this.sightings, content, path);
  }

  #note(list: Sighting[], bytes: Buffer, place: string): void {
    for (const canary of this.find(bytes)) list.push({ canary, place });
  }
}

function commandName({ commandLine }: ProcessLook): string {
  return commandLine.toString('utf8').split('\0', 3).join(' ').slice(0, 200);
}

/** Processes and files may go while they are looked at; any other failure would be a blind spot. */
function ended(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ESRCH')) throw error;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** How a text can stand in a file or in another text: as it is, in JSON (Go escapes `&` as well), in base64. */
function formsOf(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1);
  return [...new Set([text, json, json.replaceAll('&', '\\u0026'), ...base64Forms(text)])];
}

/** What of the base64 text of a longer text is the same whatever stands around this one: for each alignment. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].map((before) => {
    const characters = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    const firstWhole = Math.ceil((before * 8) / 6);
    const lastWhole = Math.floor(((before + bytes.length) * 8) / 6);
    return characters.slice(firstWhole, lastWhole);
  });
}
