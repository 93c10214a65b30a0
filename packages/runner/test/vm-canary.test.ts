import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { ensureGuest } from '../src/guest/ensure-guest.ts';
import { createVmIsolation } from '../src/isolation/vm/vm-isolation.ts';
import { SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';

const chunkBytes = 16 * 1024 ** 2;

/** How often the text is in a part of a file; what cannot be read does not count. */
function countIn(path: string, text: string, from = 0, to = Number.MAX_SAFE_INTEGER): number {
  const file = openSync(path, 'r');
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let count = 0;
  try {
    for (let position = from; position < to; ) {
      const read = readSync(file, buffer, 0, Math.min(chunkBytes, to - position), position);
      if (read === 0) break;
      count += buffer.toString('latin1', 0, read).split(text).length - 1;
      position += read;
    }
  } catch {
    // Memory that is no memory, such as the kernel's own pages in it.
  } finally {
    closeSync(file);
  }
  return count;
}

function countInMemory(id: number, text: string): number {
  const regions = [...readFileSync(`/proc/${id}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) rw/gm)];
  return regions.reduce(
    (sum, [, from = '', to = '']) =>
      sum + countIn(`/proc/${id}/mem`, text, Number.parseInt(from, 16), Number.parseInt(to, 16)),
    0,
  );
}

function countOnVolume(id: number, text: string): number {
  const volume = readdirSync(`/proc/${id}/fd`).find((each) =>
    readlinkSync(`/proc/${id}/fd/${each}`).includes('.volume'),
  );
  if (volume === undefined) throw new Error(`QEMU ${id} has no volume`);
  return countIn(`/proc/${id}/fd/${volume}`, text);
}

test.runIf(process.getuid?.() === 0)(
  'what a run wrote is gone within a second, and is neither on the disk nor in the memory of the next',
  async () => {
    const cache = cacheDirectory(process.env);
    const guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
    const bench = await SandboxBench.open((folder) =>
      createVmIsolation({ guest, folder, cacheDirectory: cache }),
    );
    const start = async (script: string) => {
      const sandbox = await bench.start(`${script}; echo ready >&3; sleep 600`);
      await untilItWrites(sandbox, 'ready');
      return { sandbox, id: await sandbox.hostProcess };
    };
    try {
      const fresh = bench.traces();
      // In two parts, so that only what was written has it whole.
      const line = 'echo canary"-of-run-a"';
      const fill = (path: string) => `i=0; while [ $i -lt 2000 ]; do ${line}; i=$((i+1)); done > ${path}`;
      // In files, in blocks that are free again, and in shared memory.
      const writer = await start(
        `${fill('/file')}; ${fill('/freed')}; sync; rm /freed; ${fill('/dev/shm/memory')}; sync`,
      );
      expect(countOnVolume(writer.id, 'canary-of-run-a')).toBeGreaterThan(1000);
      expect(countInMemory(writer.id, 'canary-of-run-a')).toBeGreaterThan(1000);
      expect((await writer.sandbox.destroy()).milliseconds).toBeLessThan(1000);
      expect(readdirSync(bench.sandboxFolder)).toEqual([]);
      await bench.clear();
      expect(bench.traces()).toEqual(fresh);

      const next = await start('sync');
      expect(countOnVolume(next.id, 'canary-of-run-a')).toBe(0);
      expect(countInMemory(next.id, 'canary-of-run-a')).toBe(0);
    } finally {
      await bench.close();
    }
  },
  120_000,
);
