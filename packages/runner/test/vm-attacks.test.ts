import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Cause, RunOutline } from '@slipway/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { entryName } from '../src/dependency-cache/entry-identity.ts';
import type { EntryStore } from '../src/dependency-cache/entry-store.ts';
import type { Image } from '../src/images/image.ts';
import { startRunner } from '../src/index.ts';
import type { ContractRun } from '../src/testing/contract-run.ts';
import { buildTinyImage } from '../src/testing/tiny-image.ts';
import { openVmIsolation, ownGuest } from '../src/testing/vm-bench.ts';
import { hostileGuest } from './hostile-guest.ts';
import { grant, key } from './run-cache-setting.ts';
import { eventually, RunSetting } from './run-setting.ts';

/** Machines are emulated, two at a time. */
const timeoutMilliseconds = 180_000;
const size = { cpus: 1, memoryMiB: 384, volumeGiB: 1 };
const mebibyte = 1024 ** 2;

const digestOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** What a process of Node.js needs: what only waits to be collected does not count. */
function memoryBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/**
 * One runner, and guests that have nothing of ours: process 1 and the executor are one program that is the runner's enemy
 * (fixtures/hostile-guest). Each run is one attack; all are queued at once, and what is left of the runner executes the
 * last one.
 */
describe('a machine in which nothing is ours', { timeout: timeoutMilliseconds }, () => {
  let setting: RunSetting;
  let runner: Awaited<ReturnType<typeof startRunner>> | undefined;
  let store: EntryStore;
  let image: Image;
  let toolboxPath = '';
  const runs = new Map<string, ContractRun>();
  const largest = { bytes: 0 };

  const queue = (attack: string, outline: Partial<RunOutline> = {}) => {
    const runId = `attack-${attack}`;
    runs.set(attack, setting.server.queue({ runId, graceSeconds: 1, ...outline }, { runId }));
  };
  const runOf = (attack: string): ContractRun => {
    const run = runs.get(attack);
    if (!run) throw new Error(`nobody queued ${attack}`);
    return run;
  };
  const endOf = async (attack: string) => {
    const run = runOf(attack);
    await expect.poll(() => run.finish, { timeout: timeoutMilliseconds, interval: 20 }).toBeDefined();
    if (!run.finish) throw new Error('it has not ended');
    return run.finish;
  };
  const identityIn = (namespace: string) => ({
    ...{ namespace, scope: 'main' },
    name: entryName({
      ...{ transfer: 'device', platform: 'linux/amd64', imageDigest: image.digest },
      ...{ key, paths: ['/cached'] },
    }),
  });
  const keepEntry = async (namespace: string) => {
    const file = await store.newFile();
    writeFileSync(file, Buffer.alloc(mebibyte, `of ${namespace}`));
    expect(await store.keep(file, identityIn(namespace))).toBe(true);
  };

  beforeAll(async () => {
    setting = await RunSetting.create();
    setting.server.heartbeatSeconds = 1;
    store = await setting.openCache();
    const folder = join(setting.directory, 'volumes');
    await mkdir(folder);
    const tiny = buildTinyImage(setting.directory);
    image = tiny.image;
    toolboxPath = tiny.toolbox.erofsPath;
    const guest = await hostileGuest(await ownGuest(), setting.directory);
    const isolation = await openVmIsolation(folder, { guest });
    const { parts } = setting;
    await keepEntry('pool/project/1');
    await keepEntry('pool/victim/1');

    queue('never-obeys');
    queue('mute');
    for (const attack of [
      'floods-init',
      'endless',
      'forges-kernel',
      'speaks-first',
      'forges-exit',
      'floods-monitor',
    ])
      queue(attack);
    for (const attack of ['blames', 'switches-off', 'disks', 'outlives']) queue(attack);
    queue('kept-disk', { cache: grant() });
    queue('new-disk', { cache: grant({ namespace: 'pool/other/1' }) });
    queue('behaves');

    const options = { isolation: 'vm', slots: 2, size, startDeadlineSeconds: 30 } as const;
    runner = await startRunner(
      { ...setting.options, ...options },
      {
        ...parts,
        isolation,
        toolbox: tiny.toolbox,
        images: {
          ...setting.parts.images,
          resolve: () => Promise.resolve({ ...image, release: () => Promise.resolve() }),
        },
        createNetwork: async () => ({
          ...(await parts.createNetwork()),
          enter: ['unshare', '--net', '--'],
        }),
      },
    );
  }, timeoutMilliseconds);
  afterAll(async () => {
    await runner?.stop(0);
    await setting?.[Symbol.asyncDispose]();
  }, timeoutMilliseconds);

  test('that floods all that it has, reads nothing and obeys nobody is held up, and gone after its grace', async () => {
    const run = runOf('never-obeys');
    await eventually(() => run.count('log') > 3 && run.lines.size > 100);
    const before = memoryBytes();
    const heartbeats = run.count('heartbeat');
    const watch = setInterval(() => {
      largest.bytes = Math.max(largest.bytes, memoryBytes() - before);
    }, 250);
    const started = performance.now();
    await expect.poll(() => run.count('heartbeat') - heartbeats, { timeout: 20_000 }).toBeGreaterThan(4);
    // Of a second each, as without it.
    expect(performance.now() - started).toBeLessThan(8_000);
    run.cancelled = true;
    const cancelledAt = performance.now();
    expect(await endOf('never-obeys')).toMatchObject({
      outcome: 'failed',
      cause: 'cancelled',
      message: expect.stringContaining('did not end within its grace of 1 s'),
    });
    expect(performance.now() - cancelledAt).toBeLessThan(15_000);
    clearInterval(watch);
    // The lines that it wrote are on the disk of the runner, and in the memory of this test's control plane.
    const linesBytes = run.sortedLines.reduce((sum, { text }) => sum + text.length, 0);
    expect(largest.bytes - linesBytes).toBeLessThan(64 * mebibyte);
  });

  test.each<[attack: string, cause: Cause, message: RegExp]>([
    ['mute', 'sandbox-failed', /not ready 30 s after/],
    ['floods-init', 'protocol-violation', /more lines than anybody needs/],
    ['floods-monitor', 'protocol-violation', /QEMU sent more lines than anybody needs/],
    ['endless', 'protocol-violation', /a line without end/],
    ['forges-kernel', 'protocol-violation', /a line that is no event/],
    ['speaks-first', 'protocol-violation', /spoke before it got its job|not UTF-8 JSON/],
    ['forges-exit', 'guest-out-of-memory', /./],
    ['blames', 'protocol-violation', /wrong shape at "cause"/],
    ['switches-off', 'guest-powered-off', /^/],
  ])('that %s ends its run and nothing else', async (attack, cause, message) => {
    expect(await endOf(attack)).toMatchObject({
      outcome: 'failed',
      cause,
      message: expect.stringMatching(message),
    });
    expect(runOf(attack).count('job')).toBe(
      ['blames', 'floods-init', 'forges-exit', 'switches-off'].includes(attack) ? 1 : 0,
    );
  });

  test('that drives its devices itself can write to its volume alone', async () => {
    const digests = () => [image.erofsPath, toolboxPath].map(digestOf);
    const before = digests();
    const { message = '' } = await endOf('disks');
    expect(message).toMatch(/attack: image: write 1, zero \d+, discard \d+, command \d+/);
    expect(message).toMatch(/attack: toolbox: write 1,/);
    expect(message).toMatch(/attack: volume: write 0,/);
    expect(message).toMatch(/attack: going wild on [6-9] devices/);
    expect(digests()).toEqual(before);
    expect(`sha256:${before[0]}`).toBe(image.digest);
  });

  test('that says that it is done and goes on is gone all the same, and ends no other run', async () => {
    expect(await endOf('outlives')).toMatchObject({ outcome: 'succeeded' });
    expect(runOf('behaves').finish).toBeUndefined();
  });

  test('cannot change a cache entry that it was given, past its kernel either', async () => {
    const { cause, message = '' } = await endOf('kept-disk');
    expect(cause).toBe('guest-powered-off');
    expect(message).toContain('attack: was given a disk: kept');
    expect(message).toContain('attack: opened for writing: 0 0');
    for (const command of [0, 1, 2, 3]) expect(message).toContain(`attack: command ${command} failed`);
    const entry = await store.find(identityIn('pool/project/1'));
    expect(readFileSync(entry?.path ?? '').equals(Buffer.alloc(mebibyte, 'of pool/project/1'))).toBe(true);
  });

  test('gets no entry of another project, and writes nothing to its own once that is kept', async () => {
    expect(await endOf('new-disk')).toMatchObject({ outcome: 'succeeded' });
    const victim = await store.find(identityIn('pool/victim/1'));
    expect(readFileSync(victim?.path ?? '').equals(Buffer.alloc(mebibyte, 'of pool/victim/1'))).toBe(true);
    const own = await store.find(identityIn('pool/other/1'));
    if (!own) throw new Error('it was not kept');
    const kept = digestOf(own.path);
    expect((await endOf('behaves')).outcome).toBe('succeeded');
    expect(digestOf(own.path)).toBe(kept);
  });

  test('leaves a runner that serves the next run, and nothing on its host', async () => {
    expect(await endOf('behaves')).toMatchObject({ outcome: 'succeeded' });
    for (const run of runs.values()) expect(run.finish).toBeDefined();
    expect(readdirSync(join(setting.directory, 'volumes'))).toEqual([]);
    expect(setting.networks.destroyed).toBe(runs.size);
    expect(setting.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
