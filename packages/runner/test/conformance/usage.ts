import { describe, expect, test } from 'vitest';
import { untilItWrites } from '../../src/testing/sandbox-bench.ts';
import type { Conformance } from './conformance.ts';

/** What a sandbox is told to use, against what it uses. */
export function describeUsage({ bench, countsItsKernel, mayAnswerLate }: Conformance): void {
  describe('usage', () => {
    const mebibyte = 1024 ** 2;
    const heldMiB = 96;
    const writtenMiB = 30;
    const receivedMiB = 20;
    const sentMiB = 10;
    const between = (bytes: number, leastMiB: number, mostMiB: number) => {
      expect(bytes / mebibyte).toBeGreaterThan(leastMiB);
      expect(bytes / mebibyte).toBeLessThan(mostMiB);
    };

    test('is told as it was: processors, memory, volume and network, inside and on the host', async () => {
      // A reader takes all that it reads into memory, and then waits for somebody to take it over.
      const sandbox = await bench().start(`
        timeout 2 sh -c 'while :; do :; done'
        dd if=/dev/zero bs=${heldMiB}M count=1 2>/dev/null | { sleep 600; cat >/dev/null; } &
        dd if=/dev/urandom of=/written bs=1M count=${writtenMiB} 2>/dev/null; sync
        wget -q -O /dev/null http://slipway.internal/zeros/${receivedMiB * mebibyte}
        dd if=/dev/zero bs=1M count=${sentMiB} 2>/dev/null | tr '\\0' x > /dev/shm/sent
        wget -q -O /dev/null --post-file=/dev/shm/sent http://slipway.internal/; rm /dev/shm/sent
        times >&3; echo done >&3; read go <&3; timeout 1 sh -c 'while :; do :; done'; exit 3`);
      const output = await untilItWrites(sandbox, 'done');
      const busySeconds = [...output.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
        (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
        0,
      );
      const reading = await sandbox.usage();
      const [inside, host] = [reading.sandbox?.use, reading.host?.use];
      if (!inside || !host) throw new Error('it tells nothing');
      expect(busySeconds).toBeGreaterThan(0.5);
      // A kernel that is not the host's counts also the time in which a busy host does not let it work.
      expect(inside.cpuMilliseconds).toBeGreaterThan(busySeconds * 1000 * (countsItsKernel ? 0.3 : 0.9));
      expect(host.cpuMilliseconds).toBeGreaterThan(busySeconds * 1000 * 0.3);
      const ownSeconds = countsItsKernel ? busySeconds * 5 : busySeconds * 0.5;
      expect(inside.cpuMilliseconds).toBeLessThan((busySeconds + ownSeconds + 1) * 1000);
      between(inside.memoryBytes, heldMiB, heldMiB + (countsItsKernel ? 160 : 24));
      between(host.memoryBytes, heldMiB, 2048);
      between(inside.volumeBytes, writtenMiB, writtenMiB + 8);
      // A kernel of its own may tell that all is written while the host's has it in memory.
      between(host.volumeBytes, countsItsKernel ? 0 : writtenMiB, writtenMiB + 16);
      for (const { receivedBytes, sentBytes } of [inside, host]) {
        between(receivedBytes, receivedMiB, receivedMiB * 1.2);
        between(sentBytes, sentMiB, sentMiB * 1.2);
      }
      sandbox.channel.write('go\n');
      await sandbox.exited;
      const last = await sandbox.usage();
      expect(last.sandbox?.use.cpuMilliseconds).toBeGreaterThan(inside.cpuMilliseconds + 200);
      expect(last.sandbox?.use.receivedBytes).toBeGreaterThanOrEqual(inside.receivedBytes);
      await sandbox.destroy();
      expect((await sandbox.usage()).host?.use.volumeBytes).toBeGreaterThanOrEqual(host.volumeBytes);
    });

    test('is told soon at any time, also before there is a process and when all are stopped', async () => {
      const sandbox = await bench().start('echo ready >&3; sleep 600');
      const told = async () => {
        const begin = performance.now();
        const { sandbox: inside } = await sandbox.usage();
        expect(performance.now() - begin).toBeLessThan(1_000);
        return inside;
      };
      await told();
      await untilItWrites(sandbox, 'ready');
      if (mayAnswerLate) await expect.poll(told, { timeout: 5_000 }).not.toBeNull();
      expect(await told()).not.toBeNull();
      process.kill(await sandbox.hostProcess, 'SIGSTOP');
      expect(await told()).not.toBeNull();
      await sandbox.destroy();
      expect(await told()).not.toBeNull();
    });
  });
}
