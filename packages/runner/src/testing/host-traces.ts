import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Everything on this host that shows that a sandbox is or was there, one line each: child processes of this one (with
 * theirs), mounts, loop devices, cgroups, files and this process's open files. Compared before and after a sandbox.
 *
 * Other programs of the host come and go meanwhile: mounts, loop devices and cgroups count when they name one of
 * `names` (the sandbox's id, the folder of its files).
 */
export function hostTraces(names: readonly string[], folder: string): string[] {
  const named = (line: string) => names.some((name) => line.includes(name));
  return [
    ...descendants(process.pid).map((line) => `process ${line}`),
    ...lines('/proc/self/mountinfo')
      .filter(named)
      .map((line) => `mount ${line}`),
    ...loopDevices()
      .filter(named)
      .map((line) => `loop device ${line}`),
    ...cgroups('/sys/fs/cgroup', 6)
      .filter(named)
      .map((line) => `cgroup ${line}`),
    ...readdirSync(folder, { recursive: true }).map((path) => `file ${path.toString()}`),
    ...openFiles().map((line) => `open file ${line}`),
  ].sort();
}

/** Processes below `ancestor`, as `id command`. */
function descendants(ancestor: number): string[] {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((id) => {
      // `id (command) state parent …`; the command may hold spaces and parentheses.
      const [, command = '', parent = ''] = /\((.*)\) \S (\d+)/s.exec(read(join('/proc', id, 'stat'))) ?? [];
      return [{ id: Number(id), command, parent: Number(parent) }];
    });
  const below = (id: number): string[] =>
    processes
      .filter(({ parent }) => parent === id)
      .flatMap((child) => [`${child.id} ${child.command}`, ...below(child.id)]);
  return below(ancestor);
}

function loopDevices(): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) =>
      lines(join('/sys/block', name, 'loop/backing_file')).map((file) => `${name} of ${file}`),
    );
}

function cgroups(directory: string, depth: number): string[] {
  if (depth === 0) return [];
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name))
      .flatMap((path) => [path, ...cgroups(path, depth - 1)]);
  } catch {
    return []; // went away while being read
  }
}

/** What is open in this process, but for the sockets and pipes of its own work, which come and go. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((descriptor) => {
      try {
        return readlinkSync(join('/proc/self/fd', descriptor));
      } catch {
        return ''; // the descriptor of the listing itself
      }
    })
    .filter(
      (target) => (target.startsWith('/') && !target.startsWith('/proc/')) || target.startsWith('net:['),
    );
}

function lines(path: string): string[] {
  return read(path)
    .split('\n')
    .filter((line) => line !== '');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
