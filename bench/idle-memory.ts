import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Benchmark } from './benchmark.ts';
import { family, proportionalMegabytes } from './host-processes.ts';

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
      const processes = await family(slipway.pid ?? 0);
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
