import { isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { gunzip, gunzipSync, gzip } from 'node:zlib';
import { freeBuffer } from '@slipway/core';
import type { FastifyRequest } from 'fastify';
import { badRequest, contentTooLarge, HttpError } from './errors.ts';

const unpackInThread = promisify(gunzip);
const packInThread = promisify(gzip);

/** The body of a call as text; its bytes are gone then: in a flood of logs, 30 MiB of them gathered. Throws 400, 413 and 415. */
export async function textBody(request: FastifyRequest): Promise<string> {
  const body = bytesOf(request);
  const text = isGzip(request) ? await unpack(body, request.routeOptions.bodyLimit) : body;
  // Decoding would put U+FFFD in the place of what is no UTF-8: state would change on its way.
  if (!isUtf8(text)) throw badRequest('Bad Request: the body is not UTF-8.');
  const decoded = text.toString('utf8');
  freeBuffer(body);
  return decoded;
}

/** Deflate makes at most this many bytes of one (https://zlib.net/zlib_tech.html, "Maximum Compression Factor"). */
const maximumRatio = 1032;

/**
 * The body of a call as gzip, for who keeps it: nobody has looked into it, but it unpacks to no more than the server
 * takes. Throws 400, 413 and 415.
 */
export async function gzipBody(request: FastifyRequest): Promise<Buffer> {
  const body = bytesOf(request);
  if (!isGzip(request)) return packInThread(body);
  const maximumBytes = request.routeOptions.bodyLimit;
  if (body.length * maximumRatio > maximumBytes) await unpack(body, maximumBytes);
  return body;
}

/** Empty where a call has none. */
function bytesOf({ body }: FastifyRequest): Buffer {
  if (!Buffer.isBuffer(body)) return Buffer.alloc(0);
  // It would pass for an empty one.
  if (body.buffer instanceof ArrayBuffer && body.buffer.detached)
    throw new Error('The body was read before.');
  return body;
}

function isGzip({ headers }: FastifyRequest): boolean {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return false;
  if (encoding !== 'gzip') throw new HttpError(415, `Unsupported content encoding "${encoding}": use gzip.`);
  return true;
}

/** What is unpacked within a millisecond is unpacked at once: handing it to a thread and back takes as long. */
const atOnceBytes = { packed: 32 * 1024, unpacked: 256 * 1024 };

async function unpack(packed: Buffer, maximumBytes: number): Promise<Buffer> {
  try {
    return (
      unpackAtOnce(packed, maximumBytes) ?? (await unpackInThread(packed, { maxOutputLength: maximumBytes }))
    );
  } catch (error) {
    if (isTooLarge(error)) throw contentTooLarge('the body of this call', maximumBytes);
    throw badRequest('Bad Request: the body is not what its content encoding says, gzip.');
  }
}

/** Undefined for what takes longer. */
function unpackAtOnce(packed: Buffer, maximumBytes: number): Buffer | undefined {
  if (packed.length > atOnceBytes.packed) return undefined;
  try {
    return gunzipSync(packed, { maxOutputLength: Math.min(atOnceBytes.unpacked, maximumBytes) });
  } catch (error) {
    if (isTooLarge(error)) return undefined;
    throw error;
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}
