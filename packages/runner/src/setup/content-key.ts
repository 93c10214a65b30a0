import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A short name for what is made of `parts`: the same parts give the same name, anything else another one. */
export function contentKey(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24);
}

/** Names and contents of all files below a folder, as parts of a key. For folders of source code. */
export async function folderContents(folder: string): Promise<string[]> {
  const parts: string[] = [];
  for (const path of await filesBelow(folder))
    parts.push(path.slice(folder.length), await readFile(path, 'utf8'));
  return parts;
}

/** `sha256:…` of the names and contents of all files below a folder, however large they are. */
export async function folderDigest(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of await filesBelow(folder))
    hash.update(`${path.slice(folder.length)} ${await fileDigest(path)}\n`);
  return `sha256:${hash.digest('hex')}`;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name)).sort();
}

/** A large file as a part of a key without reading it: an installed file changes with its size or time. */
export async function fileIdentity(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  return `${path} ${size} ${mtimeMs}`;
}

/** `sha256:…` of a file. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}
