import { readFile } from 'node:fs/promises';
import { descendants } from '../packages/runner/src/testing/host-processes.ts';

export interface HostProcess {
  readonly id: number;
  /** Empty when it ended while it was looked at. */
  readonly command: string;
}

/** A process and everything that it started, directly or not. */
export function family(id: number): Promise<HostProcess[]> {
  return Promise.all(
    [id, ...descendants(id)].map(async (each) => ({ id: each, command: await commandOf(each) })),
  );
}

async function commandOf(id: number): Promise<string> {
  const text = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
  return text.replaceAll('\0', ' ').slice(0, 80);
}

/** Memory of a process; of what it shares with others, its share. */
export async function proportionalMegabytes(id: number): Promise<number> {
  const text = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => '');
  return (Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024) / 1e6;
}
