import { fstatSync, read, write } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Bytes to and from the runner. */
export interface Channel {
  /** Ends when the runner is no longer there. */
  readonly incoming: AsyncIterable<Buffer>;
  /** Settles when the system has taken all bytes: a full spool on the host makes it wait. Rejects when the runner is gone. */
  write(bytes: Buffer): Promise<void>;
}

/** Opens the channel at `fileDescriptor`: a socket in containers, a virtio-serial device in virtual machines. */
export function openChannel(fileDescriptor: number): Channel {
  return fstatSync(fileDescriptor).isSocket() ? socketChannel(fileDescriptor) : deviceChannel(fileDescriptor);
}

function socketChannel(fileDescriptor: number): Channel {
  const socket = new Socket({ fd: fileDescriptor, readable: true, writable: true });
  // A reset reaches both the reader and the writers; without a listener it would also end the process.
  socket.on('error', () => {});
  return {
    incoming: socket,
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

const readBytes = promisify(read);
const writeBytes = promisify(write);
const deviceReadBytes = 64 * 1024;
const busyDeviceMilliseconds = 20;

/**
 * Node has no stream for a character device that blocks, so it is read and written in the thread pool. The read that
 * is always under way there also keeps `process.exit` waiting until the host closes its end.
 */
function deviceChannel(fileDescriptor: number): Channel {
  let lastWrite: Promise<void> = Promise.resolve();
  const writeAll = async (bytes: Buffer) => {
    for (let offset = 0; offset < bytes.length; ) {
      const { bytesWritten } = await whenReady(() => writeBytes(fileDescriptor, bytes, offset));
      offset += bytesWritten;
    }
  };
  return {
    incoming: readDevice(fileDescriptor),
    write: (bytes) => {
      lastWrite = lastWrite.then(() => writeAll(bytes));
      return lastWrite;
    },
  };
}

async function* readDevice(fileDescriptor: number): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(deviceReadBytes);
    const { bytesRead } = await whenReady(() => readBytes(fileDescriptor, buffer, 0, buffer.length, null));
    // A virtio port answers 0 bytes when nobody is connected on the host.
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Whoever opened the device may have set `O_NONBLOCK`; then it says `EAGAIN` instead of waiting. */
async function whenReady<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      await sleep(busyDeviceMilliseconds);
    }
  }
}
