import { defaultRunSandbox } from '@slipway/core';
import { describe, expect, test } from 'vitest';
import { CapacityLedger } from '../src/capacity/capacity-ledger.ts';
import { pauseRunner, resumeRunner } from '../src/index.ts';
import { WarmPool } from '../src/run/warm-pool/warm-pool.ts';
import type { ContractRun } from '../src/testing/contract-run.ts';
import { line, plan, step } from './executor-frames.ts';
import { eventually, RunSetting } from './run-setting.ts';
import { carryOut, jobs, waiting, warm } from './warm-setting.ts';

test('one that waits knows nothing of a run, has no secret and leads nowhere', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const { spec, received } = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  expect(received).toEqual([]);
  expect(setting.openedFor).toEqual([]);
  expect(spec.id).toMatch(/^warm-[0-9a-f]{12}$/);
  expect(spec.hostname).toBe(spec.id);
  expect(JSON.stringify({ ...spec, network: null })).not.toContain('pool-token');
});

test('each serves exactly one run and is replaced', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm, slots: 2 });
  const runs: ContractRun[] = [];
  for (let count = 1; count <= 3; count += 1) {
    const sandbox = await waiting(setting, count);
    await eventually(() => runner.warmSandboxes === 1);
    const run = setting.server.queue();
    runs.push(run);
    await carryOut(sandbox, run);
    expect(sandbox.isDestroyed).toBe(true);
  }
  await setting.isolation.sandbox(4);
  const served = setting.isolation.sandboxes.map(jobs);
  expect(served).toEqual([...runs.map(({ outline }) => [outline.runId]), []]);
  expect(new Set(setting.isolation.sandboxes.map(({ spec }) => spec.id)).size).toBe(4);
});

test('so many wait for each image that is named', async () => {
  await using setting = await RunSetting.create();
  const images = ['registry.example.com/one:1', 'registry.example.com/two:2'];
  const runner = await setting.start({ warm: { count: 2, images } });
  for (let count = 1; count <= 4; count += 1) await waiting(setting, count);
  await eventually(() => runner.warmSandboxes === 4);
  const references = setting.isolation.sandboxes.map(({ spec }) => spec.image.reference);
  expect(references).toEqual(images.flatMap((reference) => [reference, reference]));
  const run = setting.server.queue({ imageReference: 'registry.example.com/two:2' });
  const taken = await eventually(() => setting.isolation.sandboxes.find((one) => jobs(one).length > 0));
  expect(taken.spec.image.reference).toBe(run.outline.imageReference);
});

test('one whose image has changed is used by nobody, and replaced by one of the new image', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm: { count: 2, images: [] } });
  const old = [await waiting(setting, 1), await waiting(setting, 2)];
  await eventually(() => runner.warmSandboxes === 2);
  const { resolve } = setting.images;
  setting.images.resolve = async (...given) => ({ ...(await resolve(...given)), digest: 'sha256:9999' });
  const run = setting.server.queue();
  const started = await waiting(setting, 3);
  await carryOut(started, run);
  expect(run.text.join('\n')).toMatch(/its image has changed/);
  expect(started.spec.image.digest).toBe('sha256:9999');
  expect(old.map(jobs)).toEqual([[], []]);
  await eventually(() => old.every(({ isDestroyed }) => isDestroyed));
  expect((await waiting(setting, 4)).spec.image.digest).toBe('sha256:9999');
});

test('one that ends while it waits fails no run', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const ended = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  ended.exit({ cause: 'guest-panic', message: 'The kernel stopped.' });
  await eventually(() => runner.warmSandboxes === 0);
  const run = setting.server.queue();
  await carryOut(await waiting(setting, 2), run);
  expect(run.finish?.outcome).toBe('succeeded');
  expect(ended.isDestroyed).toBe(true);
  const told = setting.logged.find(({ level }) => level === 'warn');
  expect(String(Object.entries(told?.fields ?? {}))).toContain('The kernel stopped.');
});

test('its memory counts, and it gives way to a run that has no room beside it', async () => {
  await using setting = await RunSetting.create();
  const size = { cpus: 2, memoryMiB: 4_000, volumeGiB: 8 };
  setting.room = { cpus: 2, memoryMiB: 6_000, volumeGiB: 100 };
  const runner = await setting.start({ warm: { count: 2, images: [] }, size });
  const kept = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  // Two would not fit; a run is offered the room as if nobody waited.
  await eventually(() => setting.logged.some(({ message }) => message.includes('no room for all')));
  expect(setting.isolation.sandboxes).toHaveLength(1);
  expect(setting.server.claims.at(-1)?.capacity.now).toMatchObject({ cpus: 2, memoryMiB: 6_000 - 512 - 32 });
  const run = setting.server.queue({ sandbox: { ...defaultRunSandbox, size: { memoryMiB: 3_000 } } });
  const started = await waiting(setting, 2);
  expect(kept.isDestroyed).toBe(true);
  await carryOut(started, run);
  // Its room is free again.
  await setting.isolation.sandbox(3);
});

test('the run that takes one counts with the disk of its dependencies: no other run is promised that', async () => {
  await using setting = await RunSetting.create();
  await setting.openCache();
  const free = { cpus: 4, memoryMiB: 64_000, volumeGiB: 70 };
  setting.room = free;
  const runner = await setting.start({ isolation: 'vm', slots: 2, warm: { count: 2, images: [] } });
  await waiting(setting, 1);
  await waiting(setting, 2);
  await eventually(() => runner.warmSandboxes === 2);
  const cache = { namespace: 'pool/project/1', writeScope: 'main', readScopes: ['main'] };
  setting.server.queue({ cache });
  await eventually(() => setting.isolation.sandboxes.some((one) => jobs(one).length === 1));
  // What waits beside it writes nothing before it is a run's, and a run is given only what is left here.
  const reserveGiB = setting.options.capacity.reserve.volumeGiB;
  await eventually(
    () => setting.server.claims.at(-1)?.capacity.now.volumeGiB === free.volumeGiB - reserveGiB - (32 + 16),
  );
});

test('a paused runner has none, and has some again when it is resumed', async () => {
  await using setting = await RunSetting.create();
  const runner = await setting.start({ warm });
  const sandbox = await waiting(setting, 1);
  await eventually(() => runner.warmSandboxes === 1);
  await pauseRunner(setting.directory);
  await eventually(() => sandbox.isDestroyed);
  await resumeRunner(setting.directory);
  await waiting(setting, 2);
  await eventually(() => runner.warmSandboxes === 1);
});

test('a runner that drains or stops leaves none, ready or half started', async () => {
  await using setting = await RunSetting.create();
  const run = setting.server.queue();
  const runner = await setting.start({ warm: { count: 2, images: [] } });
  const busy = await waiting(setting, 1);
  await eventually(() => jobs(busy).length === 1);
  busy.say(plan('Get source'), step(0, 'running'), line('Cloning'));
  const ready = await waiting(setting, 2);
  const halfStarted = await setting.isolation.sandbox(3);
  const drained = runner.drain(60);
  await eventually(() => ready.isDestroyed && halfStarted.isDestroyed);
  expect(busy.isDestroyed).toBe(false);
  expect(run.finish).toBeUndefined();
  busy.exit();
  await drained;
  expect(setting.networks.destroyed).toBe(setting.networks.created);
  expect(setting.isolation.sandboxes).toHaveLength(3);
});

describe('a pool whose clock the test turns', () => {
  let minutes = 0;
  const kind = { imageReference: 'localhost/slipway/executor:latest', silenceSeconds: 10 };

  async function openPool(setting: RunSetting): Promise<WarmPool> {
    const { options, parts } = setting;
    minutes = 0;
    const pool = new WarmPool({
      ...{ options, parts, count: 1, clock: () => minutes * 60_000 },
      ledger: new CapacityLedger('container', options.capacity, parts.measureHost),
      pause: { isPaused: false, changed: new AbortController().signal },
      kinds: [{ ...kind, size: options.size }],
    });
    await waiting(setting, 1);
    await eventually(() => pool.readyCount === 1);
    return pool;
  }

  /** Nothing is started meanwhile, and afterwards it looks around. */
  const lookAround = (pool: WarmPool) => pool.runStarts()();

  test('replaces what has waited for half an hour', async () => {
    await using setting = await RunSetting.create();
    const pool = await openPool(setting);
    minutes = 29;
    lookAround(pool);
    await eventually(() => pool.readyCount === 1);
    expect(setting.isolation.sandboxes[0]?.isDestroyed).toBe(false);
    minutes = 31;
    lookAround(pool);
    await waiting(setting, 2);
    expect(setting.isolation.sandboxes[0]?.isDestroyed).toBe(true);
    await pool.close();
  });

  test('gives none to a run whose lease allows less silence than what waits would bear', async () => {
    await using setting = await RunSetting.create();
    const pool = await openPool(setting);
    const { size } = setting.options;
    expect(pool.take({ ...kind, size, silenceSeconds: 9 })).toEqual({ lack: expect.any(String) });
    expect(pool.take({ ...kind, size })).not.toHaveProperty('lack');
    await pool.close();
  });
});
