import type { ImageUser } from '../image.ts';
import { machineNames, readElfHeader } from './elf.ts';
import type { ImageTree } from './image-tree.ts';
import { type Inode, isDirectory } from './inode.ts';
import { ImageRefused } from './limits.ts';

/** As a shell has it where an image says nothing. */
const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const maximumFolders = 100;
/** Where the program headers of a program are, among them the name of its loader. */
const readBytes = 64 * 1024;

/**
 * Makes sure that the image's user can run the `pulumi` that the image's PATH leads to. Throws `ImageRefused` with what
 * keeps it from that.
 */
export function checkPulumi(tree: ImageTree, user: ImageUser, searchPath = usualPath): void {
  const folders = searchPath.split(':').filter((folder) => folder.startsWith('/'));
  const paths = folders.slice(0, maximumFolders).map((folder) => `${folder.replace(/\/+$/, '')}/pulumi`);
  const present = paths.filter((path) => tree.find(path)?.content.kind === 'file');
  const path = present.find((candidate) => mayRun(tree, candidate, user));
  if (path !== undefined) {
    checkProgram(tree, path);
    return;
  }
  const [first] = present;
  throw new ImageRefused(
    first === undefined
      ? 'there is no `pulumi` on its PATH; install the Pulumi CLI in the image, or start from pulumi/pulumi.'
      : `its user ${user.userId}:${user.groupId} may not run ${first}; make it executable, and its folders searchable, for that user.`,
  );
}

/** Whether a user may search the folders down to a program, and run it. */
function mayRun(tree: ImageTree, path: string, user: ImageUser): boolean {
  const names = path.split('/').slice(1);
  const above = names.map((_, index) => tree.find(`/${names.slice(0, index).join('/')}`));
  const isReachable = above.every((folder) => folder && isDirectory(folder) && isAllowed(folder, user));
  const program = tree.find(path);
  return isReachable && program !== undefined && isAllowed(program, user);
}

/** Root may search every folder, and run what anybody may. */
function isAllowed({ mode, userId, groupId, content }: Inode, user: ImageUser): boolean {
  if (user.userId === 0) return content.kind === 'directory' || (mode & 0o111) !== 0;
  if (user.userId === userId) return (mode & 0o100) !== 0;
  return (mode & (user.groupId === groupId ? 0o010 : 0o001)) !== 0;
}

function checkProgram(tree: ImageTree, path: string): void {
  const header = readElfHeader(tree.readFile(path, readBytes) ?? Buffer.alloc(0));
  if (header === undefined) return; // A script.
  if (header.machine !== 'x86-64') {
    throw new ImageRefused(
      `its ${path} is built for ${header.machine}, this runner is ${machineNames.get(62)}; install the one for linux/amd64.`,
    );
  }
  if (header.loader !== undefined && tree.find(header.loader)?.content.kind !== 'file') {
    throw new ImageRefused(
      `its ${path} needs the loader ${header.loader}, which the image does not have; install one that is built for the image's C library.`,
    );
  }
}
