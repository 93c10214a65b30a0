import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A file of the initramfs: where, and what is in it. */
export interface InitramfsFile {
  /** Absolute, as seen in the guest. */
  readonly path: string;
  readonly contents: Buffer;
}

const folderMode = 0o040755;
const executableMode = 0o100755;

/**
 * Writes files, and the folders that they are in, as a cpio archive of the kind that Linux unpacks at boot
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same files give the same bytes.
 */
export async function writeInitramfs(target: string, files: readonly InitramfsFile[]): Promise<void> {
  const entries: Buffer[] = [];
  const empty = Buffer.alloc(0);
  const add = (path: string, mode: number, contents: Buffer) =>
    entries.push(cpioEntry(entries.length + 1, path.slice(1), mode, contents));
  for (const folder of foldersOf(files.map(({ path }) => path))) add(folder, folderMode, empty);
  for (const { path, contents } of files) add(path, executableMode, contents);
  entries.push(cpioEntry(0, 'TRAILER!!!', 0, empty));
  await writeFile(target, Buffer.concat(entries));
}

/** Parents before what is in them. */
function foldersOf(paths: readonly string[]): string[] {
  const folders = new Set<string>();
  const add = (folder: string): void => {
    if (folder === '/' || folders.has(folder)) return;
    add(dirname(folder));
    folders.add(folder);
  };
  for (const path of paths) add(dirname(path));
  return [...folders];
}

function cpioEntry(inode: number, name: string, mode: number, contents: Buffer): Buffer {
  const [owner, group, links, time, deviceMajor, deviceMinor, checksum] = [0, 0, 1, 0, 0, 0, 0];
  const fields = [
    ...[inode, mode, owner, group, links, time, contents.length, deviceMajor, deviceMinor],
    ...[deviceMajor, deviceMinor, name.length + 1, checksum],
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([padded(Buffer.from(header, 'latin1')), padded(contents)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
