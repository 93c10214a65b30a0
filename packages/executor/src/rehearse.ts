import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame, rehearsalJob } from '@slipway/core';
import type { Channel } from './channel.ts';
import { RunnerConnection } from './runner-connection.ts';
import { serveRunner } from './serve-runner.ts';

/**
 * Has a run up to the first line of its first step, whose runner is gone then. Rejects when it does not come so far. V8
 * compiles functions, and zod its schemas, when they are used first; what was used before a snapshot is taken is compiled
 * in it. It sets no timer: Node would keep in the snapshot when that was due, and let no later one come before, be that one
 * cleared by then or not.
 */
export async function rehearse(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'rehearsal-'));
  const over = Promise.withResolvers<void>();
  async function* incoming(): AsyncGenerator<Buffer> {
    yield encodeFrame(rehearsalJob(folder));
    await over.promise;
  }
  let lineWritten = false;
  const channel: Channel = {
    incoming: incoming(),
    write: async (bytes) => {
      if (bytes.includes('"type":"result"')) over.resolve();
      lineWritten ||= bytes.includes('"type":"log"');
      if (lineWritten) throw new Error('the rehearsal is over');
    },
  };
  try {
    await serveRunner(new RunnerConnection(channel));
    if (!lineWritten) throw new Error('The rehearsal ended before its first line.');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
