import { sql } from 'kysely';
import pg from 'pg';
import type { ControlPlane } from '../control-plane.ts';
import { connectionConfig, type Database } from '../database/database.ts';

const channel = 'slipway_runs';
const aboutImages = 'images';
const reconnectMilliseconds = 1000;

/** Wakes the waiting claims of every control plane on this database, once the transaction commits. */
export async function wakeClaims(db: Database): Promise<void> {
  await sql`SELECT pg_notify(${channel}, '')`.execute(db);
}

/** Wakes the calls that wait for other images to prepare, likewise. */
export async function wakeImages(db: Database): Promise<void> {
  await sql`SELECT pg_notify(${channel}, ${aboutImages})`.execute(db);
}

/** Calls that wait for one kind of news. */
export class Waiting {
  readonly #waiting = new Set<() => void>();
  #generation = 0;

  /** Changes at each wake-up. Take it before looking for news, and wait with it after: nothing between is missed. */
  get generation(): number {
    return this.#generation;
  }

  /** Settles at the first wake-up after `generation`, after `milliseconds`, or when `signal` aborts. */
  async waitBeyond(generation: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    if (generation !== this.#generation || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    this.#waiting.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
  }

  wake(): void {
    this.#generation += 1;
    for (const resume of this.#waiting) resume();
  }
}

/**
 * Tells waiting claims that something may have become free to claim, and others that there may be other images to
 * prepare. It listens on one connection of its own; while that is broken nothing wakes, and who waits relies on looking
 * again every few seconds.
 */
export class WakeUp {
  readonly claims = new Waiting();
  readonly images = new Waiting();
  readonly #controlPlane: ControlPlane;
  #client: pg.Client | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(controlPlane: ControlPlane) {
    this.#controlPlane = controlPlane;
  }

  async open(): Promise<void> {
    const client = new pg.Client(connectionConfig(this.#controlPlane.database.location));
    this.#client = client;
    client.on('notification', ({ payload }) => (payload === aboutImages ? this.images : this.claims).wake());
    client.on('error', () => this.#lost(client));
    client.on('end', () => this.#lost(client));
    try {
      await client.connect();
      await client.query(`LISTEN ${channel}`);
      // What was announced while nobody listened.
      this.claims.wake();
      this.images.wake();
    } catch (error) {
      this.#controlPlane.log.warn({ err: error }, 'cannot listen for queued runs; trying again');
      this.#lost(client);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#reconnect);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  #lost(client: pg.Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = undefined;
    client.end().catch(() => undefined);
    this.#reconnect = setTimeout(() => void this.open(), reconnectMilliseconds);
  }
}
