import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheLimits, cachePartBytes } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BlobFormat, deviceFormat } from '../src/dependency-cache/blob-format.ts';
import { ownGuest } from '../src/testing/vm-bench.ts';
import { grant, inRun, startedSetting } from './run-cache-setting.ts';
import type { RunSetting } from './run-setting.ts';

const archive = randomBytes(1_000_000);
const never = new AbortController().signal;

/** Another host of the pool has `bytes`, and says that they are `archive`. */
function shareWith(setting: RunSetting, send: (start: number, response: ServerResponse) => void): void {
  const sha256 = createHash('sha256').update(archive).digest('hex');
  setting.server.sharedEntry = { entryId: randomUUID(), scope: 'main', blobBytes: archive.length, sha256 };
  setting.server.sendBlob = send;
}

/** What a run is told about the cache, and after which time. */
async function restoring(setting: RunSetting) {
  let told: { entry: string; reason: string; mayBeSaved: boolean } | undefined;
  let received: Buffer | undefined;
  const start = performance.now();
  let seconds = Number.NaN;
  const finish = await inRun(setting, grant(), async (executor) => {
    told = await executor.restore();
    seconds = (performance.now() - start) / 1000;
    if (told.entry === 'archive') received = await executor.readAll();
  });
  expect(finish.outcome).toBe('succeeded');
  return { ...told, received, seconds };
}

describe('an entry of another host', { timeout: 60_000 }, () => {
  test('is fetched once, and is this host’s own from then on', async () => {
    await using setting = await startedSetting();
    let requests = 0;
    shareWith(setting, (start, response) => {
      requests += 1;
      response.end(archive.subarray(start));
    });
    for (let run = 0; run < 2; run += 1) {
      const { entry, received } = await restoring(setting);
      expect(entry).toBe('archive');
      expect(received?.equals(archive)).toBe(true);
    }
    expect(requests).toBe(1);
  });

  test('comes whole over connections that break', async () => {
    await using setting = await startedSetting();
    const starts: number[] = [];
    shareWith(setting, (start, response) => {
      starts.push(start);
      response.writeHead(200, { 'content-length': archive.length - start });
      response.write(archive.subarray(start, start + 300_000), () => setImmediate(() => response.destroy()));
    });
    const { received } = await restoring(setting);
    expect(received?.equals(archive)).toBe(true);
    expect(starts[0]).toBe(0);
    expect(starts.length).toBeGreaterThan(2);
    expect(starts.slice(1).every((start) => start > 0)).toBe(true);
  });

  test.concurrent.each<[string, (start: number, response: ServerResponse) => void, RegExp]>([
    ['stalls', (_start, response) => response.write(archive.subarray(0, 1000)), /still on its way/],
    [
      'comes at 1 kB/s',
      (start, response) => {
        let sent = start;
        const timer = setInterval(() => {
          response.write(archive.subarray(sent, sent + 100));
          sent += 100;
        }, 100);
        response.on('close', () => clearInterval(timer));
      },
      /still on its way/,
    ],
    ['does not begin', () => undefined, /still on its way/],
    ['is other bytes', (start, response) => response.end(Buffer.alloc(archive.length - start)), /digest/],
    ['is longer', (_start, response) => response.end(Buffer.alloc(archive.length + 1)), /more came|still on/],
    ['is gone', (_start, response) => response.writeHead(404).end(), /not to be had/],
    ['fails on the server', (_start, response) => response.writeHead(500).end(), /not to be had/],
  ])('that %s holds a run up for less than ten seconds, which says why', async (_name, send, reason) => {
    await using setting = await startedSetting();
    shareWith(setting, send);
    const told = await restoring(setting);
    expect(told).toMatchObject({ entry: 'none', mayBeSaved: true });
    expect(told.reason).toMatch(reason);
    expect(told.seconds).toBeLessThan(cacheLimits.restoreSeconds);
  });

  test.concurrent('is not waited for when the control plane does not answer', async () => {
    await using setting = await startedSetting();
    setting.server.fail('cache-lookup', 'hang');
    const { entry, reason, seconds } = await restoring(setting);
    expect(entry).toBe('none');
    expect(reason).toMatch(/still on its way/);
    expect(seconds).toBeLessThan(cacheLimits.restoreSeconds);
  });

  test.concurrent('that came too late for one run is there for the next one', async () => {
    await using setting = await startedSetting();
    const come = Promise.withResolvers<void>();
    shareWith(
      setting,
      (start, response) => void come.promise.then(() => response.end(archive.subarray(start))),
    );
    expect(await restoring(setting)).toMatchObject({ entry: 'none' });
    come.resolve();
    setting.server.sendBlob = () => undefined;
    // It joins the transfer that is still under way.
    expect((await restoring(setting)).received?.equals(archive)).toBe(true);
  });
});

describe('a disk', { timeout: 60_000 }, () => {
  let format: BlobFormat;
  let folder: string;
  beforeAll(async () => {
    const guest = await ownGuest();
    format = deviceFormat(guest.sparseFilePath);
    folder = await mkdtemp(join(tmpdir(), 'slipway-disks-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** 32 GiB, of which some pieces are data. */
  async function disk(): Promise<string> {
    const path = join(folder, randomUUID());
    await using file = await open(path, 'wx');
    await file.truncate(32 * 1024 ** 3);
    for (const position of [0, 4096, 5_000_000_000, 32 * 1024 ** 3 - 4096]) {
      await file.write(randomBytes(4096), 0, 4096, position);
    }
    return path;
  }

  async function emptyFile(): Promise<string> {
    const path = join(folder, randomUUID());
    await writeFile(path, '');
    return path;
  }

  test('travels without its holes, and comes back the same', async () => {
    const [original, blob, copy] = [await disk(), await emptyFile(), await emptyFile()];
    await format.pack(original, blob, never);
    expect((await stat(blob)).size).toBeLessThan(20_000);
    await format.unpack(blob, copy, 1e9, never);
    expect((await stat(copy)).size).toBe(32 * 1024 ** 3);
    expect((await stat(copy)).blocks).toBeLessThan(200);
    for (const position of [0, 4096, 8192, 5_000_000_000, 32 * 1024 ** 3 - 4096]) {
      const [one, other] = await Promise.all([original, copy].map((path) => pieceOf(path, position)));
      expect(one).toBe(other);
    }
  });

  test('of nothing but holes, and an empty one, travel too', async () => {
    const [holes, blob, copy] = [await emptyFile(), await emptyFile(), await emptyFile()];
    await truncate(holes, cachePartBytes);
    await format.pack(holes, blob, never);
    await format.unpack(blob, copy, 0, never);
    expect((await stat(copy)).size).toBe(cachePartBytes);
    await format.pack(await emptyFile(), blob, never);
    await format.unpack(blob, copy, 0, never);
    expect((await stat(copy)).size).toBe(0);
  });

  test('with more data than is allowed, or that is none, is refused', async () => {
    const [blob, copy] = [await emptyFile(), await emptyFile()];
    await format.pack(await disk(), blob, never);
    await expect(format.unpack(blob, copy, 10_000, never)).rejects.toThrow(/more data than allowed/);
    const bytes = await readFile(blob);
    await writeFile(blob, bytes.subarray(0, -100));
    await expect(format.unpack(blob, copy, 1e9, never)).rejects.toThrow();
    for (const words of [
      [1000n, 500n, 600n],
      [1000n, 500n, 2n ** 64n - 1n],
      [2n ** 63n, 0n, 0n],
      [1000n, 500n, 0n],
    ]) {
      const raw = Buffer.alloc(words.length * 8);
      for (const [index, word] of words.entries()) raw.writeBigUInt64LE(word, index * 8);
      await writeFile(
        blob,
        execFileSync('zstd', ['-q', '-c'], { input: Buffer.concat([raw, Buffer.alloc(700)]) }),
      );
      await expect(format.unpack(blob, copy, 1e9, never)).rejects.toThrow(/sparse-file/);
      // Nothing is written beyond the end that was announced.
      expect((await stat(copy)).size).toBeLessThanOrEqual(1000);
    }
  });

  async function pieceOf(path: string, position: number): Promise<string> {
    await using file = await open(path, 'r');
    return (await file.read(Buffer.alloc(4096), 0, 4096, position)).buffer.toString('hex');
  }
});
