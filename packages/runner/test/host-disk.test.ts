import { randomBytes } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultRunSandbox } from '@slipway/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createImageStore } from '../src/images/image-store.ts';
import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import type { Isolation } from '../src/isolation/isolation.ts';
import { layerOf } from '../src/testing/layers.ts';
import { SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';
import { SmallDisk } from '../src/testing/small-disk.ts';
import { openVmIsolation } from '../src/testing/vm-bench.ts';
import { leftOut, line, plan, step, succeeded } from './executor-frames.ts';
import { push, startRegistry } from './image-registry.ts';
import { ExecutorInTest, grant } from './run-cache-setting.ts';
import { eventually, RunSetting } from './run-setting.ts';

/** Whatever of the runner's is on it: data, volumes, images. */
let disk: SmallDisk;
beforeEach(async () => {
  disk = await SmallDisk.mount(300);
});
afterEach(() => disk[Symbol.asyncDispose]());

const isRoot = process.getuid?.() === 0;
const full = { outcome: 'failed', cause: 'host-disk-full' };
const namesTheDisk = { message: expect.stringContaining('slipway-small-disk-') };

/** A run goes through as usual: the runner has survived. */
async function runGoesWell(setting: RunSetting, sandboxNumber: number): Promise<void> {
  const run = setting.server.queue();
  const sandbox = await setting.sandboxWithJob(sandboxNumber);
  sandbox.say(succeeded);
  expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'succeeded' });
}

describe.runIf(isRoot)('the disk of the host is full when a run', () => {
  test('is claimed: it ends with that, before anything of it was begun; the next one goes well', async () => {
    await using setting = await RunSetting.create(disk.path);
    await setting.start();
    await disk.fill();
    const run = setting.server.queue();
    expect(await eventually(() => run.finish)).toMatchObject({ ...full, ...namesTheDisk, lastSequence: 0 });
    expect(setting.isolation.sandboxes).toEqual([]);
    await disk.free();
    expect(await readdir(join(setting.directory, 'log-spools'))).toEqual([]);
    await runGoesWell(setting, 1);
  });

  test('gets its image: it ends with that, and not with a word against the image', async () => {
    await using registry = await startRegistry(join(disk.path, 'registry'));
    const layer = layerOf([{ file: 'usr/bin/pulumi', mode: 0o755 }]);
    await push(join(disk.path, 'made'), `${registry.host}/team/program:1`, { layers: [layer] });
    const images = createImageStore({ cacheDirectory: join(disk.path, 'cache') });
    await using setting = await RunSetting.create();
    setting.images = images;
    const run = setting.server.queue({ imageReference: `${registry.host}/team/program:1` });
    await setting.start();
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ ...full, ...namesTheDisk });
    expect(finish.message).toContain('team/program:1');
    await images.close();
  });

  test('writes its log: lines wait, and all of them arrive when there is room again', async () => {
    await using setting = await RunSetting.create(disk.path);
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    sandbox.say(step(0, 'running'), line('before'));
    await eventually(() => run.text.includes('before'));
    await disk.fill();
    // More than the file of the spool has room for in its last block.
    const texts = Array.from({ length: 100 }, (_, index) => `${index} `.padEnd(1000, 'x'));
    sandbox.say(...texts.map((text) => line(text)), succeeded);
    await eventually(() => setting.logged.some(({ message }) => message.includes('waits for room')));
    expect(run.finish).toBeUndefined();
    await disk.free();
    expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'succeeded' });
    expect(run.text.slice(-100)).toEqual(texts);
  });

  test('writes its log, and stays so: it ends with that, and the runner goes on', async () => {
    await using setting = await RunSetting.create(disk.path);
    const run = setting.server.queue();
    await setting.start({ roomPatienceSeconds: 0.5 });
    const sandbox = await setting.sandboxAtWork();
    sandbox.say(step(0, 'running'), line('before'));
    await eventually(() => run.text.includes('before'));
    await disk.fill();
    sandbox.say(...Array.from({ length: 100 }, () => line('x'.repeat(1000))));
    expect(await eventually(() => run.finish)).toMatchObject({ ...full, ...namesTheDisk });
    expect(run.text).toContain('before');
    expect(sandbox.isDestroyed).toBe(true);
    await disk.free();
    await runGoesWell(setting, 2);
  });

  test('leaves out lines of its log, and stays so: what came before them is not written again', async () => {
    await using setting = await RunSetting.create(disk.path);
    setting.server.queue({ sandbox: { ...defaultRunSandbox, logMiB: 1 } });
    await setting.start({ roomPatienceSeconds: 0.5 });
    const sandbox = await setting.sandboxWithJob();
    const steps = Array.from({ length: 100 }, (_, index) => `step ${index}`.padEnd(200, '.'));
    sandbox.say(plan(...steps), ...Array.from({ length: 20 }, () => line('x'.repeat(60_000))));
    await eventually(() => sandbox.received.some((frame) => frame.type === 'log-full'));
    await disk.fill();
    // The headers of steps are kept: more than the file of the spool has room for in its last block.
    sandbox.say(...steps.map((_, index) => step(index, 'running')), leftOut(1_000));
    await eventually(() => sandbox.isDestroyed);
    const waits = setting.logged.filter(({ message }) => message.includes('waits for room'));
    expect(waits).toHaveLength(1);
  });

  test('saves its dependency cache: nothing is saved, the run is told why, and succeeds', async () => {
    await using setting = await RunSetting.create(disk.path);
    await setting.openCache();
    await setting.start();
    const run = setting.server.queue({ cache: grant() });
    const sandbox = await setting.sandboxAtWork();
    const executor = new ExecutorInTest(sandbox);
    expect(await executor.restore()).toMatchObject({ entry: 'none', mayBeSaved: true });
    await disk.fill();
    const saved = await executor.save(randomBytes(2_000_000));
    expect(saved).toMatchObject({ entryBytes: null, reason: expect.stringContaining('ENOSPC') });
    sandbox.say(succeeded);
    expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'succeeded' });
    await disk.free();
    expect(await readdir(join(setting.directory, 'dependency-cache'))).toEqual([]);
  });

  test('finishes: it ends as it ended', async () => {
    await using setting = await RunSetting.create(disk.path);
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    await disk.fill();
    sandbox.say(succeeded);
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject({ outcome: 'succeeded' });
    expect(finish).not.toHaveProperty('cause');
    await disk.free();
    await runGoesWell(setting, 2);
  });

  test('finishes with lines of its own: it ends as it ended, at once and without them', async () => {
    await using setting = await RunSetting.create(disk.path);
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    await disk.fill();
    const consoleLines = Array.from({ length: 90 }, (_, index) => `${index} `.padEnd(80, 'x'));
    sandbox.exit({ cause: 'guest-panic', message: consoleLines.join('\n') });
    expect(await eventually(() => run.finish)).toMatchObject({ outcome: 'failed', cause: 'guest-panic' });
    expect(run.text.join('\n')).not.toContain(consoleLines[0]);
    await disk.free();
    await runGoesWell(setting, 2);
  });

  test('fails at something, as what writes in a container does: that is the cause', async () => {
    await using setting = await RunSetting.create();
    const run = setting.server.queue();
    await setting.start();
    const sandbox = await setting.sandboxAtWork();
    setting.room = { ...setting.room, volumeGiB: 0.001 };
    sandbox.say({ type: 'result', outcome: 'failed', cause: 'program-error', message: 'EIO' });
    const finish = await eventually(() => run.finish);
    expect(finish).toMatchObject(full);
    expect(finish.message).toContain(setting.directory);
    expect(finish.message).toContain('EIO');
  });
});

/** For a guest; the product's is longer. */
const answerPatienceMilliseconds = 6_000;

/** Sandboxes of the real isolations, whose volumes are on the small disk. */
async function open(kind: Isolation['kind'], roomPatienceMilliseconds: number): Promise<SandboxBench> {
  const folder = join(disk.path, 'volumes');
  await mkdir(folder);
  return SandboxBench.open(async () => {
    if (kind === 'container') return createContainerIsolation({ folder });
    return openVmIsolation(folder, { roomPatienceMilliseconds, answerPatienceMilliseconds });
  });
}

describe.runIf(isRoot)('a sandbox on a full disk', () => {
  test.each(['container', 'vm'] as const)(
    'of the isolation %s does not start, and says why',
    async (kind) => {
      const bench = await open(kind, 0);
      try {
        await disk.fill();
        const sandbox = await bench.start('sleep 600');
        const failure = await sandbox.started.catch((error: unknown) => error);
        expect(failure).toMatchObject({ runCause: 'host-disk-full' });
        expect(await sandbox.exited).toMatchObject({ cause: 'host-disk-full' });
        await bench.clear();
        await disk.free();
        await untilItWrites(await bench.start('echo again >&3; sleep 600'), 'again');
      } finally {
        await bench.close();
      }
    },
    120_000,
  );

  /** Writes twice what is left of the disk, and says what became of it. */
  const writing = `echo begun >&3; read go <&3; dd if=/dev/zero of=/file bs=1M count=400 conv=fsync 2> /dev/shm/error; echo "dd ended $?" >&3; sleep 600`;

  test('a virtual machine that writes to it stands still, and goes on when there is room again', async () => {
    const bench = await open('vm', 60_000);
    try {
      const sandbox = await bench.start(writing.replace('count=400', 'count=100'));
      await untilItWrites(sandbox, 'begun');
      await disk.fill(20);
      const written = untilItWrites(sandbox, 'dd ended 0');
      sandbox.channel.write('go\n');
      while ((await disk.freeMiB()) > 0.5) await new Promise((resolve) => setTimeout(resolve, 50));
      // Meanwhile it answers nobody, and nobody minds.
      for (
        const fullSince = performance.now();
        performance.now() - fullSince < answerPatienceMilliseconds * 1.5;
      ) {
        await sandbox.usage();
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      await disk.free();
      await written;
    } finally {
      await bench.close();
    }
  }, 120_000);

  test('a virtual machine that writes to it ends when it stays full, with the folder', async () => {
    const bench = await open('vm', 500);
    try {
      const sandbox = await bench.start(writing);
      await untilItWrites(sandbox, 'begun');
      sandbox.channel.write('go\n');
      const exit = await sandbox.exited;
      expect(exit).toMatchObject({ cause: 'host-disk-full', ...namesTheDisk });
    } finally {
      await bench.close();
    }
  }, 120_000);
});
