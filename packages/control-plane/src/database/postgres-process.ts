import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Cluster, untilUnused } from './cluster.ts';

const startTimeoutMilliseconds = 30_000;
const outputMilliseconds = 100;
const keptOutputCharacters = 4000;

/** One server process of the embedded database. */
export class PostgresProcess {
  /** Settles once it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #output = '';

  private constructor([program = '', ...args]: readonly string[]) {
    // Out of reach of a terminal's Ctrl-C: runs that are being cancelled still report how they end.
    this.#child = spawn(program, args, { detached: true });
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-keptOutputCharacters);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#output ||= error.message;
        resolve();
      });
      this.#child.once('exit', () => void this.#outputRead().then(resolve));
    });
  }

  /**
   * Starts a server, and answers when it takes connections. Throws when another control plane uses the cluster, and with
   * PostgreSQL's own words when it does not start.
   */
  static async start(cluster: Cluster, signal?: AbortSignal): Promise<PostgresProcess> {
    await untilUnused(cluster);
    const server = new PostgresProcess(cluster.serverCommand);
    try {
      await server.#untilReady(cluster, signal);
      return server;
    } catch (error) {
      await server.stop('SIGQUIT');
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it wrote last: messages of at least the level FATAL. */
  get lastOutput(): string {
    return this.#output.trim();
  }

  /** By default a fast shutdown: open transactions are rolled back, everything committed is on disk. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    if (this.#isRunning) this.#child.kill(signal);
    await this.ended;
  }

  get #isRunning(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** What it wrote last tells why it ended. Should it have been killed, its own children hold the output for a moment. */
  async #outputRead(): Promise<void> {
    const { stderr } = this.#child;
    if (!stderr || stderr.closed) return;
    await once(stderr, 'close', { signal: AbortSignal.timeout(outputMilliseconds) }).catch(() => undefined);
  }

  async #untilReady({ socketDirectory, userName }: Cluster, signal: AbortSignal | undefined): Promise<void> {
    let deadline = performance.now() + startTimeoutMilliseconds;
    for (;;) {
      signal?.throwIfAborted();
      const client = new pg.Client({ host: socketDirectory, user: userName, database: 'postgres' });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return;
      } catch (error) {
        if (isRecovering(error)) deadline = performance.now() + startTimeoutMilliseconds;
        if (!this.#isRunning) await this.ended;
        if (!this.#isRunning || performance.now() > deadline) {
          throw new Error(`The embedded PostgreSQL did not start: ${this.lastOutput || error}`);
        }
        await sleep(20);
      }
    }
  }
}

/** After a crash it replays its log first, and says so: `cannot_connect_now`. That takes as long as it takes. */
function isRecovering(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '57P03';
}
