import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Benchmark } from './benchmark.ts';

const settleMilliseconds = 10_000;
const promisedMegabytes = 400;

export const idleMemory: Benchmark = {
  name: 'idle-memory',
  description: `memory (summed PSS) of an idle \`slipway up\` with all its processes, against the promised ${promisedMegabytes} MB`,
  maximumRatio: 1,
  measure: async (report) => {
    const directory = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
    const slipway = spawn(join(import.meta.dirname, '..', 'slipway'), [
      ...['up', '--listen', '127.0.0.1:0', '--data-dir', directory],
    ]);
    try {
      for await (const line of createInterface({ input: slipway.stdout }))
        if (line.includes('is ready at')) break;
      await sleep(settleMilliseconds);
      const processes = await descendants(slipway.pid ?? 0);
      let megabytes = 0;
      for (const { id, command } of processes) {
        const share = await proportionalMegabytes(id);
        report(`${share.toFixed(1).padStart(7)} MB  ${command}`);
        megabytes += share;
      }
      return { ours: megabytes, reference: promisedMegabytes, unit: 'MB' };
    } finally {
      const exited = once(slipway, 'exit');
      slipway.kill('SIGTERM');
      await exited;
      await rm(directory, { recursive: true, force: true });
    }
  },
};

interface HostProcess {
  readonly id: number;
  readonly parentId: number;
  readonly command: string;
}

/** A process and everything that it started, directly or not. */
async function descendants(id: number): Promise<HostProcess[]> {
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

async function proportionalMegabytes(id: number): Promise<number> {
  const text = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => '');
  return (Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024) / 1e6;
}
