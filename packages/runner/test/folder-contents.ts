import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Everything that a file system tells of itself, path by path. */
export function contentsOf(root: string): Map<string, object> {
  const contents = new Map<string, object>();
  const attributes = attributesOf(root);
  const inodes = new Map<number, string>();
  const visit = (path: string) => {
    const status = lstatSync(Buffer.from(root + path, 'latin1'), { bigint: true });
    const inode = Number(status.ino);
    contents.set(path, {
      mode: status.mode.toString(8),
      owner: `${status.uid}:${status.gid}`,
      modified: String(status.mtimeNs),
      device: status.isCharacterDevice() ? Number(status.rdev) : undefined,
      // Hard links: the first path that leads to the same inode.
      sameAs: status.isDirectory() ? undefined : (inodes.get(inode) ?? path),
      links: status.isDirectory() ? undefined : Number(status.nlink),
      content: status.isFile() ? digestOf(readFileSync(Buffer.from(root + path, 'latin1'))) : undefined,
      target: status.isSymbolicLink()
        ? readlinkSync(Buffer.from(root + path, 'latin1'), { encoding: 'latin1' })
        : undefined,
      attributes: attributes.get(path),
    });
    if (!inodes.has(inode)) inodes.set(inode, path);
    if (!status.isDirectory()) return;
    const names = readdirSync(Buffer.from(root + path, 'latin1'), { encoding: 'latin1' });
    for (const name of names.sort()) visit(path === '/' ? `/${name}` : `${path}/${name}`);
  };
  visit('/');
  return contents;
}

/** The extended attributes of all files below a folder that have some, path by path. */
export function attributesOf(root: string): Map<string, string> {
  const text = execFileSync(
    'getfattr',
    ['-R', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root],
    {
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  return new Map(
    text.split('\n\n').flatMap((block): [string, string][] => {
      const [file = '', ...values] = block.trim().split('\n');
      return values.length > 0
        ? [[file.replace(`# file: ${root}`, '') || '/', values.sort().join('\n')]]
        : [];
    }),
  );
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
