import { openSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Makes the empty file of a volume: readable by nobody else, and without a name from the start, so that nothing of it
 * outlives its last user. Answers its descriptor, which the caller closes.
 */
export function openVolume(folder: string, name: string): number {
  const path = join(folder, `${name}.volume`);
  const descriptor = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return descriptor;
}

/** Waits until the host has let go of a volume: no loop device has its file any more. Throws after the deadline. */
export async function waitUntilReleased(name: string, deadlineMilliseconds: number): Promise<void> {
  const deadline = performance.now() + deadlineMilliseconds;
  while (loopFiles().some((file) => file.includes(`/${name}.volume`))) {
    if (performance.now() > deadline) throw new Error(`the volume of sandbox ${name} is still in use`);
    await sleep(5);
  }
}

function loopFiles(): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      try {
        return [readFileSync(join('/sys/block', name, 'loop/backing_file'), 'utf8')];
      } catch {
        return []; // not in use
      }
    });
}
