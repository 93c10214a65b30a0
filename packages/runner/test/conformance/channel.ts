import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { outputOf } from '../../src/testing/sandbox-bench.ts';
import type { Conformance } from './conformance.ts';

/** The stream between runner and executor. */
export function describeChannel({ bench, channelMiB, channelBufferMiB }: Conformance): void {
  describe('channel', () => {
    test(`carries ${channelMiB} MiB each way without a changed byte`, async () => {
      const sandbox = await bench().start('cat <&3 >&3');
      await sandbox.started;
      const sent = createHash('sha256');
      const received = createHash('sha256');
      // The last byte ends a message, as each of the executor's ends: one that may have a continuation may be held.
      const pieces = [
        ...Array.from({ length: channelMiB }, () => () => randomBytes(1024 * 1024)),
        () => Buffer.from('\n'),
      ];
      const total = channelMiB * 1024 * 1024 + 1;
      const exchange = async () => {
        const back = new Promise<void>((resolve) => {
          let length = 0;
          sandbox.channel.on('data', (chunk: Buffer) => {
            received.update(chunk);
            length += chunk.length;
            if (length >= total) resolve();
          });
        });
        for (const make of pieces) {
          const bytes = make();
          sent.update(bytes);
          if (!sandbox.channel.write(bytes))
            await new Promise((resolve) => sandbox.channel.once('drain', resolve));
        }
        await back;
      };
      const ended = sandbox.exited.then((exit) => {
        throw new Error(`it ended meanwhile: ${JSON.stringify(exit)}`);
      });
      await Promise.race([exchange(), ended]);
      expect(received.digest('hex')).toBe(sent.digest('hex'));
    });

    test('stops the writer inside while nobody reads', async () => {
      const writesMore = `dd if=/dev/zero bs=1M count=${channelBufferMiB * 2} >&3 2>/dev/null`;
      const sandbox = await bench().start(`${writesMore} & sleep 3; kill -0 $! && exit 7; exit 0`);
      expect(await sandbox.exited).toMatchObject({ exitCode: 7 });
    });

    test('ends when the process ends', async () => {
      const sandbox = await bench().start('printf last >&3');
      expect(await outputOf(sandbox)).toBe('last');
    });
  });
}
