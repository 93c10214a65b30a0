import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, frameFromExecutor, rehearsalJob } from '@slipway/core';

const pageBytes = 4096;
/** In /proc/PID/pagemap a page has 64 bits, of which the highest says that it is in memory. */
const entryBytes = 8;
const isInMemory = 0x80;
const deadlineMilliseconds = 60_000;

/** Pages of a file, from `first` to before `end`. */
interface Range {
  readonly path: string;
  readonly first: number;
  end: number;
}

/**
 * Which parts of the files below `root` an executor, started with `argv`, has in memory when it writes the first line of
 * a run: a range a line, `OFFSET LENGTH PATH`, in bytes and below `root`. A guest has its kernel read them all at once
 * (guest/read-ahead.c). Throws when the executor does not come so far, or the kernel does not tell (CONFIG_PROC_PAGE_MONITOR).
 */
export async function readAheadList([command = '', ...parameters]: string[], root: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-read-ahead-'));
  const executor = spawn(command, parameters, {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    env: {},
    timeout: deadlineMilliseconds,
    killSignal: 'SIGKILL',
  });
  const exited = once(executor, 'exit');
  try {
    const channel = executor.stdio[3];
    if (!(channel instanceof Duplex)) throw new Error('The executor has no channel.');
    channel.write(encodeFrame(rehearsalJob(folder)));
    await firstLine(channel);
    // Maps name files as they are, whatever links lead there.
    const ranges = await mappedRanges(executor, await realpath(root));
    if (ranges.length === 0) throw new Error('The executor has mapped none of its files.');
    return ranges
      .map(({ path, first, end }) => `${first * pageBytes} ${(end - first) * pageBytes} ${path}\n`)
      .join('');
  } finally {
    executor.kill('SIGKILL');
    await exited.catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }
}

async function firstLine(channel: Duplex): Promise<void> {
  const decoder = new FrameDecoder(frameFromExecutor);
  for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
    if (decoder.push(chunk).some((frame) => frame.type === 'log')) return;
  }
  throw new Error('The executor ended before its first line.');
}

/** Of a file that is mapped in pieces, by ascending page. */
async function mappedRanges({ pid }: ChildProcess, root: string): Promise<Range[]> {
  const ranges: Range[] = [];
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  await using pagemap = await open(`/proc/${pid}/pagemap`);
  for (const [, start = '', end = '', offset = '', path = ''] of maps.matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+ +(\/.+)$/gm,
  )) {
    const name = relative(root, path);
    if (name.startsWith('..')) continue;
    const [firstPage, endPage, firstOfFile] = [start, end, offset].map(
      (hexadecimal) => Number.parseInt(hexadecimal, 16) / pageBytes,
    ) as [number, number, number];
    const entries = Buffer.alloc((endPage - firstPage) * entryBytes);
    await pagemap.read(entries, 0, entries.length, firstPage * entryBytes);
    for (let page = 0; page < endPage - firstPage; page += 1) {
      if (((entries[page * entryBytes + entryBytes - 1] ?? 0) & isInMemory) === 0) continue;
      const last = ranges.at(-1);
      const inFile = firstOfFile + page;
      if (last?.path === name && last.end === inFile) last.end += 1;
      else ranges.push({ path: name, first: inFile, end: inFile + 1 });
    }
  }
  return ranges;
}
