import { describe, expect, test } from 'vitest';
import { untilItWrites } from '../../src/testing/sandbox-bench.ts';
import { buildTinyDevice } from '../../src/testing/tiny-image.ts';
import type { Conformance } from './conformance.ts';

/** That nothing of a sandbox is left. */
export function describeDestroy({ bench }: Conformance): void {
  describe('destroy', () => {
    test('ends a running sandbox within a second, also when asked twice, and leaves nothing behind', async () => {
      const before = bench().traces();
      const sandbox = await bench().start(
        'dd if=/dev/urandom of=/tmp/file bs=1M count=20; echo ready >&3; sleep 600',
      );
      await untilItWrites(sandbox, 'ready');
      await sandbox.attach({ name: 'cache', path: buildTinyDevice(bench().folder, 'attached') });
      expect(bench().traces().length).toBeGreaterThan(before.length);

      const [proof, again] = await Promise.all([sandbox.destroy(), sandbox.destroy()]);
      expect(proof).toMatchObject({ processesReaped: true, nothingLeft: true });
      expect(proof.milliseconds).toBeLessThanOrEqual(1000);
      expect(again).toEqual(proof);
      expect(await sandbox.destroy()).toEqual(proof);
      await sandbox.exited;
      await bench().clear();
      expect(bench().traces()).toEqual(before);
    });

    test('before it has started leaves nothing behind either', async () => {
      const before = bench().traces();
      const sandbox = await bench().start('sleep 600');
      sandbox.started.catch(() => {});
      await sandbox.destroy();
      await sandbox.exited;
      await bench().clear();
      expect(bench().traces()).toEqual(before);
    });

    test('after it ended by itself leaves nothing behind either', async () => {
      const before = bench().traces();
      const sandbox = await bench().start('exit 3');
      await sandbox.exited;
      await sandbox.destroy();
      await bench().clear();
      expect(bench().traces()).toEqual(before);
    });
  });
}
