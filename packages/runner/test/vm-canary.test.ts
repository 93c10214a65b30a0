import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { countCanaries, countCanariesInMemory, fillWithCanary } from '../src/testing/canary.ts';
import { SandboxShell, shellScript } from '../src/testing/sandbox-shell.ts';
import { openVmBench } from '../src/testing/vm-bench.ts';

function countOnVolume(id: number): Promise<number> {
  const volume = readdirSync(`/proc/${id}/fd`).find((each) =>
    readlinkSync(`/proc/${id}/fd/${each}`).includes('.volume'),
  );
  if (volume === undefined) throw new Error(`QEMU ${id} has no volume`);
  return countCanaries(`/proc/${id}/fd/${volume}`);
}

test.runIf(process.getuid?.() === 0)(
  'what a run wrote is gone within a second, and is neither on the disks nor in the memory of the next',
  async () => {
    const bench = await openVmBench({}, (root) => mkdirSync(join(root, 'cached')));
    /** A machine with a shell and a new disk of the dependency cache, as one that has found no entry. */
    const start = async (name: string) => {
      const sandbox = await bench.start(shellScript);
      await sandbox.started;
      const id = await sandbox.hostProcess;
      const cacheFile = join(bench.folder, `${name}.work`);
      await writeFile(cacheFile, '');
      await sandbox.cacheDevice?.mountNew(cacheFile, ['/cached'], 30_000);
      return { sandbox, id, shell: new SandboxShell(sandbox), cacheFile };
    };
    try {
      const fresh = bench.traces();
      const writer = await start('writer');
      // In files, in blocks that are free again, in shared memory, and in what was installed for the cache.
      for (const path of ['/file', '/freed', '/dev/shm/memory', '/cached/package']) {
        expect(await writer.shell.run(fillWithCanary(path))).toBe('');
      }
      expect(await writer.shell.run('sync; rm /freed; sync')).toBe('');
      // There is no swap that any of this could get into.
      expect(await writer.shell.run('wc -l < /proc/swaps')).toMatch(/^1\n/);
      expect(await writer.shell.run('grep SwapTotal /proc/meminfo')).toMatch(/^SwapTotal: +0 kB\n/);
      expect(await countOnVolume(writer.id)).toBeGreaterThan(1000);
      expect(await countCanaries(writer.cacheFile)).toBeGreaterThan(1000);
      expect(await countCanariesInMemory(writer.id)).toBeGreaterThan(1000);
      expect((await writer.sandbox.destroy()).milliseconds).toBeLessThan(1000);
      expect(readdirSync(bench.sandboxFolder)).toEqual([]);
      await bench.clear();
      // As the runner does with what was not saved.
      await rm(writer.cacheFile);
      expect(bench.traces()).toEqual(fresh);

      const next = await start('next');
      expect(await countOnVolume(next.id)).toBe(0);
      expect(await countCanaries(next.cacheFile)).toBe(0);
      expect(await countCanariesInMemory(next.id)).toBe(0);
    } finally {
      await bench.close();
    }
  },
  120_000,
);
