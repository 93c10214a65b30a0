/** The cache plays no part in this run; the message says why, as the end of a sentence. */
export class CacheNotUsed extends Error {
  override readonly name = 'CacheNotUsed';
}
