import { lstat, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** As a shell has it where an image says nothing. */
const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** As the kernel's own limit. */
const maximumLinks = 40;

/** Whether a program is on the PATH of an image whose files lie at `root`. Looks at nothing outside of `root`. */
export async function hasProgram(root: string, name: string, searchPath = usualPath): Promise<boolean> {
  for (const folder of searchPath.split(':').slice(0, 100)) {
    if (folder.startsWith('/') && (await isExecutable(root, `${folder}/${name}`))) return true;
  }
  return false;
}

async function isExecutable(root: string, path: string): Promise<boolean> {
  const resolved = await resolveInside(root, path);
  if (resolved === undefined) return false;
  const status = await lstat(join(root, resolved));
  return status.isFile() && (status.mode & 0o111) !== 0;
}

/** `path` without symbolic links, as a process with `root` as its root would see it; undefined where there is none. */
async function resolveInside(root: string, path: string): Promise<string | undefined> {
  const remaining = path.split('/');
  let resolved = '/';
  let links = 0;
  for (let part = remaining.shift(); part !== undefined; part = remaining.shift()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      resolved = dirname(resolved);
      continue;
    }
    const next = join(resolved, part);
    const status = await lstat(join(root, next)).catch(() => undefined);
    if (status === undefined) return undefined;
    if (!status.isSymbolicLink()) {
      resolved = next;
      continue;
    }
    links += 1;
    if (links > maximumLinks) return undefined;
    const target = await readlink(join(root, next));
    if (target.startsWith('/')) resolved = '/';
    remaining.unshift(...target.split('/'));
  }
  return resolved;
}
