import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes the file or folder `path` unless it exists. `make` gets a path beside it to make it at; only what is complete
 * gets the final name, so that a crash leaves nothing half-made. Of several callers, also in several processes, one
 * makes it and the others wait for it.
 */
export async function makeOnce(path: string, make: (partialPath: string) => Promise<void>): Promise<void> {
  if (await exists(path)) return;
  await withLock(`${path}.lock`, async () => {
    if (await exists(path)) return;
    const partialPath = `${path}.partial`;
    await rm(partialPath, { recursive: true, force: true }); // What a crash left behind.
    try {
      await make(partialPath);
      if ((await stat(partialPath)).isFile()) await flush(partialPath);
      await rename(partialPath, path);
    } catch (error) {
      await rm(partialPath, { recursive: true, force: true });
      throw error;
    }
  });
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Runs `action` while this caller alone holds the lock file. The lock belongs to a flock(1) process that ends with our
 * end of its standard input, so that a killed holder never leaves it locked.
 */
async function withLock<Result>(path: string, action: () => Promise<Result>): Promise<Result> {
  await mkdir(dirname(path), { recursive: true });
  const holder = spawn('flock', [path, 'sh', '-c', 'echo locked && exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'close');
  try {
    await Promise.race([
      once(holder.stdout, 'data'),
      ended.then(() => {
        throw new Error(`The lock file ${path} could not be locked; is that folder writable?`);
      }),
    ]);
    return await action();
  } finally {
    holder.stdin.end();
    await ended.catch(() => {}); // Already told above.
  }
}

/** Waits until a file is on the disk: it must not have its final name before, or a power failure leaves half of it. */
export async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
}
