import { readdir, readFile } from 'node:fs/promises';

export interface HostProcess {
  readonly id: number;
  readonly parentId: number;
  readonly command: string;
}

/** A process and everything that it started, directly or not. */
export async function descendants(id: number): Promise<HostProcess[]> {
  const all = (
    await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(processOf))
  ).flat();
  const family = new Set([id]);
  for (let size = 0; size !== family.size; ) {
    size = family.size;
    for (const each of all) if (family.has(each.parentId)) family.add(each.id);
  }
  return all.filter((each) => family.has(each.id));
}

async function processOf(name: string): Promise<HostProcess[]> {
  try {
    const status = await readFile(`/proc/${name}/status`, 'utf8');
    const command = (await readFile(`/proc/${name}/cmdline`, 'utf8')).replaceAll('\0', ' ').slice(0, 80);
    return [{ id: Number(name), parentId: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]), command }];
  } catch {
    return []; // It ended while we looked.
  }
}

/** Memory of a process; of what it shares with others, its share. */
export async function proportionalMegabytes(id: number): Promise<number> {
  const text = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => '');
  return (Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024) / 1e6;
}
