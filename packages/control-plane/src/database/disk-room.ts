import { statfs } from 'node:fs/promises';
import type { Log } from '../control-plane.ts';
import { insufficientStorage } from '../http/errors.ts';

const mebibyte = 1024 ** 2;
/**
 * What is left to PostgreSQL alone: four segments of its write-ahead log. When it cannot write that log, it stops
 * altogether, and nobody can even read any more; renewals of leases, ends of runs and cancellations go on in this room.
 */
export const reservedBytes = 64 * mebibyte;

/** The room on the disk of a database. Who wants to have more kept is refused before it is full. */
export class DiskRoom {
  readonly #folder: string;
  readonly #log: Log;
  #isFull = false;

  constructor(folder: string, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Throws 507 when no more is to be kept. */
  async require(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    const freeBytes = bavail * bsize;
    const wasFull = this.#isFull;
    this.#isFull = freeBytes < reservedBytes;
    if (!this.#isFull) {
      if (wasFull) this.#log.warn({ freeBytes }, 'The disk of the database has room again');
      return;
    }
    const message = `The disk of the control plane's database is full: ${Math.floor(freeBytes / mebibyte)} MiB are free at ${this.#folder}, and the last ${reservedBytes / mebibyte} MiB are the database's own. Free some space there; Slipway goes on by itself then.`;
    if (!wasFull) this.#log.error({ freeBytes }, message);
    throw insufficientStorage(message);
  }
}
