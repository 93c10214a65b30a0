import * as z from 'zod';
import { cacheGrant, cacheLimits } from './dependency-cache.ts';

/**
 * How the runners of a pool share cache entries through the control plane. The calls carry the lease token of a run, also
 * for a while after its end: what a run installed is sent when its stack is free again. Which entries it may read and
 * write is the run's grant.
 *
 * An entry travels as a blob that means nothing to the control plane: `POST cache-offer` says what it will be, its parts
 * follow in any order (`POST cache-part?entry=…&part=…`, the bytes as body, their SHA-256 in `digestHeader`), and
 * `POST cache-complete` makes it readable. `GET cache-blob?entry=…&start=…` answers its bytes from an offset on.
 */
export const cachePartBytes = 8 * 1024 * 1024;
export const digestHeader = 'x-slipway-sha256';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
/** All that an entry must fit besides namespace and scope; only runners know what is in it. */
const entryName = z.string().min(1).max(500);
/** What compresses badly grows a little. */
const maximumBlobBytes = cacheLimits.entryBytes * 1.1;

export const cacheLookupRequest = z.object({ namespace: cacheGrant.shape.namespace, name: entryName });
export const cacheLookupResponse = z.object({
  entry: z
    .object({
      entryId: z.uuid(),
      scope: z.string(),
      blobBytes: z.number().int().positive(),
      /** Of the whole blob. */
      sha256,
    })
    .nullable(),
});
export type SharedEntry = NonNullable<z.infer<typeof cacheLookupResponse>['entry']>;

export const cacheOfferRequest = z.object({
  namespace: cacheGrant.shape.namespace,
  name: entryName,
  blobBytes: z.number().int().positive().max(maximumBlobBytes),
  sha256,
});
export type CacheOffer = z.infer<typeof cacheOfferRequest>;
export const cacheOfferResponse = z.discriminatedUnion('isWanted', [
  z.object({ isWanted: z.literal(false), reason: z.string() }),
  z.object({
    isWanted: z.literal(true),
    entryId: z.uuid(),
    /** Numbers of the parts that are not there yet, from 0 on. */
    missingParts: z.array(z.number().int().min(0)),
  }),
]);

export const cachePartQuery = z.object({ entry: z.uuid(), part: z.coerce.number().int().min(0).max(9_999) });
export const cacheCompleteRequest = z.object({ entryId: z.uuid() });
export const cacheBlobQuery = z.object({ entry: z.uuid(), start: z.coerce.number().int().min(0) });

/** How many bytes part `part` of a blob has. */
export function partLength(blobBytes: number, part: number): number {
  return Math.max(0, Math.min(cachePartBytes, blobBytes - part * cachePartBytes));
}

/** How many parts a blob has. */
export function partCount(blobBytes: number): number {
  return Math.ceil(blobBytes / cachePartBytes);
}
