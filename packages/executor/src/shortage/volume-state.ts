import { statfs } from 'node:fs/promises';

/** What a file system has left. */
export interface VolumeState {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeFiles: number;
  readonly totalFiles: number;
}

/** A file system with less than this left counts as full: whatever failed then failed for want of space. */
const fullBytes = 1024 * 1024;

/** The file system that `directory` is on; null when it cannot be told. */
export async function volumeState(directory: string): Promise<VolumeState | null> {
  try {
    const { bavail, blocks, bsize, ffree, files } = await statfs(directory);
    return {
      freeBytes: bavail * bsize,
      totalBytes: blocks * bsize,
      freeFiles: ffree,
      totalFiles: files,
    };
  } catch {
    return null;
  }
}

export function isOutOfSpace({ freeBytes }: VolumeState): boolean {
  return freeBytes < fullBytes;
}

/** Some file systems have no table of files, and count none. */
export function isOutOfFiles({ freeFiles, totalFiles }: VolumeState): boolean {
  return totalFiles > 0 && freeFiles === 0;
}
