import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import {
  type CacheOffer,
  cacheLookupResponse,
  cacheOfferResponse,
  digestHeader,
  type SharedEntry,
} from '@slipway/core';
import * as z from 'zod';
import { call } from './calls.ts';
import type { Connection } from './connection.ts';
import { CallRefused } from './failures.ts';

const callTimeoutMilliseconds = 10_000;
/** A part of 8 MiB, at 70 kB/s. */
const partTimeoutMilliseconds = 120_000;

/** The calls by which runners share cache entries, in the name of one run (core/cache-contract.ts). */
export class CacheCalls {
  readonly #connection: Connection;
  readonly #authorization: string;

  constructor(connection: Connection, leaseToken: string) {
    this.#connection = connection;
    this.#authorization = `lease ${leaseToken}`;
  }

  /** The entry of this name that the run may read; null when there is none. */
  async lookUp(namespace: string, name: string, signal: AbortSignal): Promise<SharedEntry | null> {
    const answer = await this.#post('cache-lookup', { namespace, name }, cacheLookupResponse, signal);
    return answer.entry;
  }

  offer(offer: CacheOffer, signal: AbortSignal): Promise<z.infer<typeof cacheOfferResponse>> {
    return this.#post('cache-offer', offer, cacheOfferResponse, signal);
  }

  async sendPart(entryId: string, part: number, bytes: Buffer, signal: AbortSignal): Promise<void> {
    await call(this.#connection, `cache-part?entry=${entryId}&part=${part}`, z.unknown(), {
      authorization: this.#authorization,
      body: [bytes],
      headers: {
        'content-type': 'application/octet-stream',
        [digestHeader]: createHash('sha256').update(bytes).digest('hex'),
      },
      timeoutMilliseconds: partTimeoutMilliseconds,
      signal,
    });
  }

  async complete(entryId: string, signal: AbortSignal): Promise<void> {
    await this.#post('cache-complete', { entryId }, z.unknown(), signal);
  }

  /** The bytes of an entry from `start` on. */
  async read(entryId: string, start: number, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#connection.open(`cache-blob?entry=${entryId}&start=${start}`, {
      method: 'GET',
      headers: { authorization: this.#authorization },
      parts: [],
      signal,
    });
    if (response.statusCode === 200) return response;
    response.resume();
    throw new CallRefused('cache-blob', response.statusCode ?? 0, 'the entry is not to be had');
  }

  #post<T>(name: string, body: object, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    return call(this.#connection, name, schema, {
      authorization: this.#authorization,
      body: JSON.stringify(body),
      timeoutMilliseconds: callTimeoutMilliseconds,
      signal,
    });
  }
}
