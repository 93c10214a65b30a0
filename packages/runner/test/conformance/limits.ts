import { describe, expect, test } from 'vitest';
import { tellingFolders } from '../../src/isolation/telling-folders.ts';
import { outputOf, untilItWrites } from '../../src/testing/sandbox-bench.ts';
import type { Conformance } from './conformance.ts';

/** What a sandbox may take, and what is told when it takes more. */
export function describeLimits(conformance: Conformance): void {
  const { bench, smallMemoryMiB, smallVolumeGiB, cpuCount, endsAsAWhole } = conformance;
  const smallVolume = { size: { volumeGiB: smallVolumeGiB } };
  const volumeMiB = smallVolumeGiB * 1024;
  describe('limit', () => {
    test('of memory: a process that takes more is killed, and the end says why', async () => {
      const takesTwice = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB * 2}M count=1`;
      const sandbox = await bench().start(`${takesTwice}; exit 9`, { size: { memoryMiB: smallMemoryMiB } });
      const exit = await sandbox.exited;
      expect(exit).toMatchObject({
        ...(endsAsAWhole ? { signal: 'SIGKILL' } : { exitCode: 9 }),
        cause: 'out-of-memory',
      });
      const killed = endsAsAWhole ? '[a-z]+' : 'dd';
      expect(exit.message).toMatch(
        new RegExp(`^The kernel killed the process "${killed}", which used \\d+ MiB, at the memory limit`),
      );
      expect(exit.message).toContain(`${smallMemoryMiB} MiB`);
    });

    test('of memory: what fits is not killed', async () => {
      const takesHalf = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB / 2}M count=1`;
      const sandbox = await bench().start(takesHalf, { size: { memoryMiB: smallMemoryMiB } });
      expect(await sandbox.exited).toMatchObject({ exitCode: 0, cause: null });
    });

    test.skipIf(endsAsAWhole)(
      'of memory: a sandbox that lives on tells which process was killed, its peak and limit',
      async () => {
        const takesTwice = `dd if=/dev/zero of=/dev/null bs=${smallMemoryMiB * 2}M count=1`;
        const sandbox = await bench().start(`${takesTwice}; echo killed >&3; sleep 600`, {
          size: { memoryMiB: smallMemoryMiB },
        });
        await untilItWrites(sandbox, 'killed');
        const { memory } = await sandbox.shortages();
        expect(memory).toMatchObject({ kills: 1, outOf: 'container', process: { name: 'dd' } });
        const { peakMiB = 0, limitMiB = 0, process } = memory ?? {};
        // A kernel of its own takes a part.
        expect(limitMiB).toBeGreaterThan(smallMemoryMiB * 0.5);
        expect(limitMiB).toBeLessThanOrEqual(smallMemoryMiB);
        expect(peakMiB).toBeGreaterThan(limitMiB * 0.9);
        expect(peakMiB).toBeLessThanOrEqual(limitMiB);
        expect(process?.memoryMiB).toBeGreaterThan(limitMiB * 0.8);
      },
    );

    test('of CPUs: it has as many as it was given', async () => {
      // A number that is neither the usual one nor, likely, the host's.
      const sandbox = await bench().start(`(${cpuCount}) >&3`, { size: { cpus: 3 } });
      expect(await outputOf(sandbox)).toBe('3\n');
    });

    test('of processes: a fork bomb ends at the limit and leaves the rest alone', async () => {
      const sandbox = await bench().start(
        `sh -c 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done' 2>/dev/null
         set -- /proc/[0-9]*; echo $# >&3`,
        { pidLimit: 64 },
      );
      const alive = Number(await outputOf(sandbox));
      expect(alive).toBeGreaterThan(32);
      // In a virtual machine the listing shows what belongs to the container alone, as it does elsewhere.
      expect(alive).toBeLessThanOrEqual(64);
    });

    test.skipIf(endsAsAWhole)('of processes: one that takes them all at once has started', async () => {
      // The program and its child: there is none left for whatever tells that it started.
      const sandbox = await bench().start('sleep 60 & echo taken >&3; read go <&3; exit 5', { pidLimit: 3 });
      await untilItWrites(sandbox, 'taken');
      await sandbox.started;
      sandbox.channel.write('go\n');
      expect(await sandbox.exited).toMatchObject({ exitCode: 5 });
    });

    test.skipIf(endsAsAWhole)(
      'of processes: what fails at it is told to have, with how often the kernel refused',
      async () => {
        const bomb = 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done';
        const sandbox = await bench().start(
          `sh -c '${bomb}' 2>/dev/null; echo bombed >&3; read go <&3; exit 5`,
          { pidLimit: 32 },
        );
        await untilItWrites(sandbox, 'bombed');
        const { processRefusals, memory } = await sandbox.shortages();
        expect(processRefusals).toBeGreaterThan(0);
        expect(memory).toBeNull();
        sandbox.channel.write('go\n');
        expect(await sandbox.exited).toMatchObject({ exitCode: 5, cause: 'process-limit' });
      },
    );

    test('of the volume: a full one says so to the writer', async () => {
      const sandbox = await bench().start(
        `dd if=/dev/zero of=/tmp/fill bs=1M count=${volumeMiB + 76} 2>/dev/shm/error; grep -c "No space left" /dev/shm/error >&3; df -m / | tail -1 >&3`,
        smallVolume,
      );
      const [mentions, usage = ''] = (await outputOf(sandbox)).split('\n');
      expect(mentions).toBe('1');
      const sizeMiB = Number(usage.trim().split(/\s+/)[1]);
      expect(sizeMiB).toBeGreaterThan(volumeMiB * 0.83);
      expect(sizeMiB).toBeLessThanOrEqual(volumeMiB);
    });

    test('of the volume: a full one is told with its largest folders, and is why the sandbox fails', async () => {
      const wheelMiB = Math.round(volumeMiB * 0.2);
      const script = `
        mkdir -p /var/cache/pip /deployment/infra/node_modules/large
        dd if=/dev/zero of=/var/cache/pip/wheel bs=1M count=${wheelMiB} 2>/dev/null
        dd if=/dev/zero of=/deployment/infra/node_modules/large/file bs=1M count=${volumeMiB + 76} 2>/dev/null
        dd if=/dev/zero of=/deployment/infra/node_modules/large/rest 2>/dev/null
        echo full >&3; read go <&3; exit 6`;
      const sandbox = await bench().start(script, smallVolume);
      await untilItWrites(sandbox, 'full');
      const { volume } = await sandbox.shortages();
      expect(volume?.freeBytes).toBeLessThan(1024 * 1024);
      expect(volume?.freeFiles).toBeGreaterThan(0);
      const told = tellingFolders(volume?.folders ?? [], 'bytes');
      expect(told.map(({ path }) => path)).toEqual(['/deployment/infra/node_modules', '/var/cache/pip']);
      expect(told[1]?.bytes).toBeGreaterThan((wheelMiB - 1) * 1024 ** 2);
      expect(told[1]?.bytes).toBeLessThan((wheelMiB + 2) * 1024 ** 2);
      sandbox.channel.write('go\n');
      expect(await sandbox.exited).toMatchObject({
        exitCode: 6,
        cause: 'disk-full',
        message: expect.stringContaining(`The volume of ${smallVolumeGiB} GiB is full.`),
      });
    });

    test('of files on the volume: that all are made is told, with the folders that have most', async () => {
      // Processes that make many files each: in an emulated machine one for each takes minutes.
      const script = `
        mkdir -p /root/.pulumi/many && cd /root/.pulumi/many
        seq ${smallVolumeGiB * 70_000} | xargs touch 2>/dev/shm/error
        grep -q "No space left" /dev/shm/error && echo made >&3; read go <&3; exit 7`;
      const sandbox = await bench().start(script, smallVolume);
      await untilItWrites(sandbox, 'made');
      const { volume } = await sandbox.shortages();
      expect(volume).toMatchObject({ freeFiles: 0 });
      expect(volume?.freeBytes).toBeGreaterThan(volumeMiB * 0.1 * 1024 ** 2);
      const [most] = tellingFolders(volume?.folders ?? [], 'files');
      expect(most?.path).toBe('/root/.pulumi/many');
      expect(most?.files).toBeGreaterThan((volume?.totalFiles ?? 0) * 0.9);
      sandbox.channel.write('go\n');
      expect(await sandbox.exited).toMatchObject({ exitCode: 7, cause: 'inodes-exhausted' });
    });
  });
}
