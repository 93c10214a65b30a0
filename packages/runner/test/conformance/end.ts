import { describe, expect, test } from 'vitest';
import { untilItWrites } from '../../src/testing/sandbox-bench.ts';
import type { Conformance } from './conformance.ts';

/** How a sandbox ends, and what is told of it. */
export function describeEnd({ bench }: Conformance): void {
  describe('end', () => {
    test.each([0, 1, 42])('with exit code %i is told as such', async (code) => {
      const sandbox = await bench().start(`exit ${code}`);
      expect(await sandbox.exited).toMatchObject({ exitCode: code, signal: null, cause: null });
    });

    test.each(['SIGINT', 'SIGTERM'] as const)(
      'by %s: the process gets it and may handle it',
      async (signal) => {
        const sandbox = await bench().start(
          `trap 'exit 7' ${signal.slice(3)}; echo ready >&3; while :; do sleep 60 & wait; done`,
        );
        await untilItWrites(sandbox, 'ready');
        sandbox.signal(signal);
        expect(await sandbox.exited).toMatchObject({ exitCode: 7, signal: null });
      },
    );

    test('by SIGKILL is told with its signal', async () => {
      const sandbox = await bench().start('echo ready >&3; sleep 60');
      await untilItWrites(sandbox, 'ready');
      sandbox.signal('SIGKILL');
      expect(await sandbox.exited).toMatchObject({ exitCode: null, signal: 'SIGKILL', cause: null });
    });

    test('of a program that is not there is told as an exit or a failed start, with its name', async () => {
      const sandbox = await bench().start('exec /bin/not-there');
      await sandbox.started.catch(() => {});
      expect(await sandbox.exited).toMatchObject({ exitCode: 127 });
    });
  });
}
