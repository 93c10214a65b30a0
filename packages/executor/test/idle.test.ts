import { encodeFrame } from '@slipway/core';
import { expect, test } from 'vitest';
import type { Channel } from '../src/channel.ts';
import { rehearse } from '../src/rehearse.ts';
import { RunnerConnection } from '../src/runner-connection.ts';
import { serveRunner } from '../src/serve-runner.ts';

/** A runner that sends this when `after` settles, and goes. What it is sent is counted in bytes. */
function runnerThatSends(frames: readonly Buffer[], after: Promise<unknown>) {
  const received: Buffer[] = [];
  async function* incoming(): AsyncGenerator<Buffer> {
    await after;
    yield* frames;
  }
  const channel: Channel = { incoming: incoming(), write: async (bytes) => void received.push(bytes) };
  return { connection: new RunnerConnection(channel), received };
}

const cancel = encodeFrame({ type: 'cancel', graceSeconds: 0 });
const ready = encodeFrame({ type: 'ready' });

test('an executor that waits for its job rehearses one, of which its runner hears nothing', async () => {
  const rehearsed = Promise.withResolvers<void>();
  const { connection, received } = runnerThatSends([cancel], rehearsed.promise);
  await serveRunner(connection, () => void rehearse().then(rehearsed.resolve, rehearsed.reject));
  expect(Buffer.concat(received)).toEqual(ready);
});

test('one that has its job does not', async () => {
  let rehearsals = 0;
  const { connection } = runnerThatSends([cancel], Promise.resolve());
  await serveRunner(connection, () => {
    rehearsals += 1;
  });
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(rehearsals).toBe(0);
});
