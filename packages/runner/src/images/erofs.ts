import { createHash } from 'node:crypto';

/**
 * The command that makes an EROFS file of a folder: everything in it belongs to root, extended attributes are left out,
 * and the file system's UUID follows from `identity`. Uncompressed: reading is what counts, and compression gains
 * nothing there.
 */
export function makeErofsCommand(options: {
  readonly target: string;
  readonly folder: string;
  readonly identity: string;
  /** One time for all files, in seconds since 1970, where the same input must give the same bytes. */
  readonly timestampSeconds?: number;
}): string[] {
  const { target, folder, identity, timestampSeconds } = options;
  const time = timestampSeconds === undefined ? [] : [`-T${timestampSeconds}`];
  return ['mkfs.erofs', '--quiet', '--all-root', '-x-1', `-U${uuidFrom(identity)}`, ...time, target, folder];
}

/** A UUID (version 8: own scheme) that follows from a text. */
function uuidFrom(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
