import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Ids of a process's children, with theirs. */
export function descendants(pid: number): number[] {
  const children = taskIds(pid).flatMap((task) => idsIn(`/proc/${pid}/task/${task}/children`));
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** Ids of the virtual machines that a process runs. */
export function machinesBelow(pid: number): number[] {
  return descendants(pid).filter((child) => /\(qemu-system-/.test(read(`/proc/${child}/stat`)));
}

export function parentOf(pid: number): number {
  return Number(/\) \S (\d+)/.exec(read(`/proc/${pid}/stat`))?.[1]);
}

/** Whether a process is there and not merely waiting for its parent to read its status. */
export function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return false;
  const state = /\) (\S)/.exec(read(`/proc/${pid}/stat`))?.[1];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** Process ids in a file of the kernel; none when it is gone. */
export function idsIn(path: string): number[] {
  return read(path)
    .split(/\s+/)
    .filter((text) => text !== '')
    .map(Number);
}

function taskIds(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
