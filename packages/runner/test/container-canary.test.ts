import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cgroupParents } from '../src/isolation/container/cgroup.ts';
import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { canary, countCanaries, fillWithCanary, loopDevicesOf } from '../src/testing/canary.ts';
import { SandboxBench } from '../src/testing/sandbox-bench.ts';
import { SandboxShell, shellScript } from '../src/testing/sandbox-shell.ts';
import { grant, inRun, startedSetting } from './run-cache-setting.ts';

const isRoot = process.getuid?.() === 0;

/** What the cgroups of the containers let them have of the host's swap, in bytes beyond their memory. */
function swapAllowed(): number[] {
  return cgroupParents().flatMap((parent) =>
    readdirSync(parent)
      .filter((name) => name.startsWith('slipway-bench-'))
      .flatMap((name) => {
        const read = (file: string) => Number(readFileSync(join(parent, name, file), 'utf8'));
        if (existsSync(join(parent, name, 'memory.swap.max'))) return [read('memory.swap.max')];
        if (!existsSync(join(parent, name, 'memory.memsw.limit_in_bytes'))) return [];
        return [read('memory.memsw.limit_in_bytes') - read('memory.limit_in_bytes')];
      }),
  );
}

test.runIf(isRoot)(
  'what a container wrote is gone within a second, and is neither on the disk of the next nor anywhere that it can read',
  async () => {
    const bench = await SandboxBench.open(async (folder) => createContainerIsolation({ folder }));
    const start = async () => {
      const sandbox = await bench.start(shellScript);
      await sandbox.started;
      return { sandbox, shell: new SandboxShell(sandbox) };
    };
    const countOnDisks = async () => {
      const counts = loopDevicesOf(bench.sandboxFolder).map((device) => countCanaries(device));
      return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
    };
    try {
      const fresh = bench.traces();
      const writer = await start();
      // In files, in blocks that are free again, in shared memory.
      for (const path of ['/file', '/freed', '/tmp/file', '/dev/shm/memory']) {
        expect(await writer.shell.run(fillWithCanary(path))).toBe('');
      }
      expect(await writer.shell.run('sync; rm /freed; sync')).toBe('');
      expect(await countOnDisks()).toBeGreaterThan(1000);
      // Nothing of this may get into the host's swap, which outlives it.
      expect(swapAllowed().filter((bytes) => bytes !== 0)).toEqual([]);
      expect((await writer.sandbox.destroy()).milliseconds).toBeLessThan(1000);
      expect(readdirSync(bench.sandboxFolder)).toEqual([]);
      await bench.clear();
      expect(bench.traces()).toEqual(fresh);

      const next = await start();
      expect(loopDevicesOf(bench.sandboxFolder)).not.toEqual([]);
      expect(await countOnDisks()).toBe(0);
      const search = `grep -rl '${canary}' /dev/shm /tmp /etc /root /home /var /file /freed 2> /dev/null | wc -l`;
      expect(await next.shell.run(search)).toBe('0\n');
      expect(await next.shell.run('cat /proc/sysvipc/shm /proc/sysvipc/msg /proc/sysvipc/sem | wc -l')).toBe(
        '3\n',
      );
    } finally {
      await bench.close();
    }
  },
  120_000,
);

test('an archive that a run saved for its project is not on the way to a run of another one', async () => {
  await using setting = await startedSetting();
  const archive = Buffer.from(`${canary}\n`.repeat(2000));
  await inRun(setting, grant(), async (executor) => {
    expect(await executor.restore()).toMatchObject({ mayBeSaved: true });
    expect(await executor.save(archive)).toMatchObject({ entryBytes: archive.length });
  });
  const others = [grant({ namespace: 'pool/other/1' }), grant({ writeScope: 'x', readScopes: ['x'] })];
  for (const other of others) {
    await inRun(setting, other, async (executor) => {
      const restored = await executor.restore();
      expect(restored).toMatchObject({ entry: 'none', mayBeSaved: true });
      expect(JSON.stringify(restored)).not.toContain(canary);
    });
  }
  // It is there, and for who may have it.
  await inRun(setting, grant(), async (executor) => {
    expect(await executor.restore()).toMatchObject({ entry: 'archive' });
    expect((await executor.readAll()).equals(archive)).toBe(true);
  });
});
