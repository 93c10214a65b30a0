import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';

const chunkBytes = 4 * 1024 ** 2;

/** What run A writes where run B must not find it. */
export const canary = 'canary-of-run-a';

/** Shell commands that fill a file with 2,000 lines of it. It is written in two parts, so that only what was written has it whole. */
export function fillWithCanary(path: string): string {
  return `i=0; while [ $i -lt 2000 ]; do echo canary"-of-run-a"; i=$((i+1)); done > ${path}`;
}

/**
 * How often it is in a part of a file, whatever kind of file that is; what cannot be read does not count. Sandboxes whose
 * files are read go on meanwhile.
 */
export async function countCanaries(path: string, from = 0, to = Number.MAX_SAFE_INTEGER): Promise<number> {
  await using file = await open(path, 'r');
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let count = 0;
  try {
    for (let position = from; position < to; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(chunkBytes, to - position), position);
      if (bytesRead === 0) break;
      count += buffer.toString('latin1', 0, bytesRead).split(canary).length - 1;
      position += bytesRead;
    }
  } catch {
    // Memory that is no memory, such as the kernel's own pages in it.
  }
  return count;
}

/** In what a process can write to of its memory. */
export async function countCanariesInMemory(processId: number): Promise<number> {
  const regions = [...readFileSync(`/proc/${processId}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) rw/gm)];
  let count = 0;
  for (const [, from = '', to = ''] of regions) {
    count += await countCanaries(
      `/proc/${processId}/mem`,
      Number.parseInt(from, 16),
      Number.parseInt(to, 16),
    );
  }
  return count;
}

/** The loop devices on files of a folder, those without a name included. */
export function loopDevicesOf(folder: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(folder);
      } catch {
        return false; // not in use
      }
    })
    .map((name) => `/dev/${name}`);
}
