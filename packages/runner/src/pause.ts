import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How long it takes at most until a runner notices. */
const lookMilliseconds = 1_000;

function markPath(dataDirectory: string): string {
  return join(dataDirectory, 'paused');
}

/** Keeps the runner of this data directory from claiming runs, also after a restart. What it executes goes on. */
export async function pauseRunner(dataDirectory: string): Promise<void> {
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  await writeFile(markPath(dataDirectory), '');
}

/** Whether the runner of this data directory was paused. */
export async function resumeRunner(dataDirectory: string): Promise<boolean> {
  const wasPaused = existsSync(markPath(dataDirectory));
  await rm(markPath(dataDirectory), { force: true });
  return wasPaused;
}

/** Watches whether a runner is paused: a file says so, since whoever pauses it need not reach its process. */
export class PauseWatch {
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;
  #isPaused: boolean;
  #changed = new AbortController();

  constructor(dataDirectory: string) {
    this.#path = markPath(dataDirectory);
    this.#isPaused = existsSync(this.#path);
    this.#timer = setInterval(() => this.#look(), lookMilliseconds);
    this.#timer.unref();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Aborts when that changes. */
  get changed(): AbortSignal {
    return this.#changed.signal;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const isPaused = existsSync(this.#path);
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.#changed.abort();
    this.#changed = new AbortController();
  }
}
