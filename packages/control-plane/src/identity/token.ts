import { createHash, randomBytes } from 'node:crypto';

/** A new secret token: a prefix that tells its kind to a reader (and to secret scanners), and 256 random bits. */
export function newToken(prefix: 'pul' | 'slp-job' | 'slp-lease' | 'slp-update' | 'slp-pool'): string {
  return `${prefix}-${randomBytes(32).toString('hex')}`;
}

/** What the database keeps of a token. A fast hash suffices: the token has 256 bits of entropy. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
