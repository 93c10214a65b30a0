import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Path → text. */
export type DirectoryOfFiles = Readonly<Record<string, string>>;

/** Every file below `directory`, but for installed packages. */
export async function readFiles(directory: string): Promise<DirectoryOfFiles> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && !/\bnode_modules\b/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(paths.map(async (path) => [relative(directory, path), await readFile(path, 'utf8')])),
  );
}
