import { readFile, stat } from 'node:fs/promises';
import { CacheNotUsed } from './cache-not-used.ts';

export const MiB = 1024 * 1024;

/**
 * The text of a file of the source, which may be a link to anything on the machine. Null where there is none. Throws
 * `CacheNotUsed` where reading it may never end, or would take the executor's memory.
 */
export async function sourceText(path: string, maximumBytes: number): Promise<string | null> {
  const about = await stat(path).catch(() => null);
  if (about === null || about.isDirectory()) return null;
  if (!about.isFile()) throw new CacheNotUsed(`${path} is not a regular file`);
  if (about.size > maximumBytes) {
    throw new CacheNotUsed(`${path} is larger than the ${maximumBytes / MiB} MiB that are read of it`);
  }
  // Files of the kernel have no size, and some of them no end.
  return about.size === 0 ? '' : readFile(path, 'utf8');
}
