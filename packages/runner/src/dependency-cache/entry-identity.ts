import { createHash } from 'node:crypto';
import type { CacheTransfer, Platform } from '@slipway/core';

/** What makes two entries the same. */
export interface EntryIdentity {
  /** Of the run's grant: project and pool. */
  readonly namespace: string;
  /** How far whoever wrote it was trusted. */
  readonly scope: string;
  /** All that an entry must fit besides: see `entryName`. */
  readonly name: string;
}

export interface EntryFit {
  /** What a virtual machine wrote is never read outside of one: devices and archives are worlds of their own. */
  readonly transfer: CacheTransfer;
  readonly platform: Platform;
  /** Packages are built for the interpreter and the C library of an image. */
  readonly imageDigest: string;
  /** Tool and lock file. */
  readonly key: string;
  /** Virtual environments hold their own path. */
  readonly paths: readonly string[];
}

/** A name for entries that can take each other's place. */
export function entryName({ transfer, platform, imageDigest, key, paths }: EntryFit): string {
  return `${transfer}/${platform}/${key}/${sha256(JSON.stringify([imageDigest, paths]))}`;
}

/** The name of its file. It tells nothing apart that the identity does not. */
export function entryId({ namespace, scope, name }: EntryIdentity): string {
  return sha256(JSON.stringify([namespace, scope, name]));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
