import { read, write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Bytes to and from the runner. */
export interface Channel {
  /** Ends when the runner is no longer there. */
  readonly incoming: AsyncIterable<Buffer>;
  /** Settles when the system has taken all bytes: a full spool on the host makes it wait. Rejects when the runner is gone. */
  write(bytes: Buffer): Promise<void>;
}

const readBytes = promisify(read);
const writeBytes = promisify(write);
const mostReadBytes = 64 * 1024;
const busyMilliseconds = 20;

/**
 * Opens the channel at `fileDescriptor`: a socket in containers, a virtio-serial device in virtual machines. Node has no
 * stream for a character device that blocks, so it is read and written in the thread pool. The read that is always under
 * way there also keeps `process.exit` waiting until the host closes its end.
 */
export function openChannel(fileDescriptor: number): Channel {
  let lastWrite: Promise<void> = Promise.resolve();
  const writeAll = async (bytes: Buffer) => {
    for (let offset = 0; offset < bytes.length; ) {
      const { bytesWritten } = await whenReady(() => writeBytes(fileDescriptor, bytes, offset));
      offset += bytesWritten;
    }
  };
  return {
    incoming: readAll(fileDescriptor),
    write: (bytes) => {
      lastWrite = lastWrite.then(() => writeAll(bytes));
      return lastWrite;
    },
  };
}

async function* readAll(fileDescriptor: number): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(mostReadBytes);
    const { bytesRead } = await whenReady(() => readBytes(fileDescriptor, buffer, 0, buffer.length, null));
    // The end of a socket; a virtio port answers so when nobody is connected on the host.
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Whoever opened it may have set `O_NONBLOCK`; then it says `EAGAIN` instead of waiting. */
async function whenReady<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      await sleep(busyMilliseconds);
    }
  }
}
