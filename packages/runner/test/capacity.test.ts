import { type CapacityOptions, defaultCapacityOptions, defaultRunSandbox } from '@slipway/core';
import { expect, test } from 'vitest';
import { CapacityLedger } from '../src/capacity/capacity-ledger.ts';
import { eventually, RunSetting } from './run-setting.ts';

const host = { cpus: 4, memoryMiB: 10_000, volumeGiB: 100 };
const size = { cpus: 2, memoryMiB: 2_000, volumeGiB: 32 };

function ledgerOf(free = host, options: Partial<CapacityOptions> = {}): CapacityLedger {
  return new CapacityLedger('container', { ...defaultCapacityOptions, ...options }, () =>
    Promise.resolve({ total: host, free }),
  );
}

test('the host keeps its reserve, and each sandbox counts with what it takes beside its own memory', async () => {
  const ledger = ledgerOf(host, { reserve: { memoryMiB: 1_000, volumeGiB: 10 } });
  expect(await ledger.available()).toEqual({
    now: { cpus: 4, memoryMiB: 8_968, volumeGiB: 90 },
    empty: { cpus: 4, memoryMiB: 8_968, volumeGiB: 90 },
  });
  const release = ledger.promise(size);
  expect(await ledger.available()).toEqual({
    now: { cpus: 2, memoryMiB: 8_968 - 2_032, volumeGiB: 58 },
    empty: { cpus: 4, memoryMiB: 8_968, volumeGiB: 90 },
  });
  release();
  release();
  expect((await ledger.available()).now).toEqual((await ledger.available()).empty);
});

test('what other programs of the host take is not promised', async () => {
  const ledger = ledgerOf({ cpus: 4, memoryMiB: 1_532, volumeGiB: 5 });
  expect((await ledger.available()).now).toMatchObject({ memoryMiB: 988, volumeGiB: 3 });
});

test('more than there is is promised only where that was asked for', async () => {
  const ledger = ledgerOf(host, { overcommit: { cpus: 8, memoryMiB: 1, volumeGiB: 2 } });
  const { now } = await ledger.available();
  expect(now.cpus).toBe(32);
  expect(now.memoryMiB).toBeLessThan(host.memoryMiB);
  expect(now.volumeGiB).toBe(198);
});

test('below its reserve a host takes no volume at all, however much more than there is may be promised', async () => {
  const overcommit = { cpus: 1, memoryMiB: 1, volumeGiB: 4 };
  const reserve = { memoryMiB: 0, volumeGiB: 2 };
  const at = async (volumeGiB: number) =>
    (await ledgerOf({ ...host, volumeGiB }, { overcommit, reserve }).available()).now.volumeGiB;
  expect(await at(3)).toBe(10);
  expect(await at(1.9)).toBe(0);
});

test('two slots claim no more runs than fit at once, and the next one as soon as there is room', async () => {
  await using setting = await RunSetting.create();
  setting.room = { cpus: 3, memoryMiB: 64_000, volumeGiB: 1_000 };
  for (let count = 0; count < 2; count += 1) setting.server.queue();
  const runner = await setting.start({ slots: 2 });
  const first = await setting.isolation.sandbox(1);
  // The second slot asks, is told what is left, and gets nothing.
  await eventually(() => setting.server.claims.find(({ capacity }) => capacity.now.cpus === 1));
  expect(runner.liveRuns).toBe(1);
  expect(setting.isolation.sandboxes).toHaveLength(1);
  first.exit();
  await setting.isolation.sandbox(2);
  expect(setting.server.claims.at(-1)?.capacity.now.cpus ?? 3).not.toBeLessThan(0);
});

test('a run is counted with the size that it was granted', async () => {
  await using setting = await RunSetting.create();
  setting.room = { cpus: 4, memoryMiB: 64_000, volumeGiB: 1_000 };
  setting.server.queue({ sandbox: { ...defaultRunSandbox, size: { cpus: 3 } } });
  await setting.start({ slots: 2 });
  await setting.isolation.sandbox(1);
  await eventually(() => setting.server.claims.find(({ capacity }) => capacity.now.cpus === 1));
});

test.each([
  ['vm', 'with', 16],
  ['vm', 'without', 0],
  ['container', 'with', 0],
] as const)(
  'in a %s %s a dependency cache, its disk counts with %i GiB beside the volume',
  async (isolation, isKept, beside) => {
    await using setting = await RunSetting.create();
    if (isKept === 'with') await setting.openCache();
    setting.room = { cpus: 4, memoryMiB: 64_000, volumeGiB: 1_000 };
    const cache = { namespace: 'pool/project/1', writeScope: 'main', readScopes: ['main'] };
    setting.server.queue({ cache });
    await setting.start({ isolation, slots: 2 });
    await setting.isolation.sandbox(1);
    const [before, after] = await eventually(() => {
      const [first, second] = setting.server.claims.map(({ capacity }) => capacity);
      return first !== undefined && second !== undefined && [first, second];
    });
    expect(before.cacheDiskGiB).toBe(beside);
    expect(before.now.volumeGiB - after.now.volumeGiB).toBe(setting.options.size.volumeGiB + beside);
  },
);

test('a host that is full of other things says what it lacks, once, and how to get it', async () => {
  await using setting = await RunSetting.create();
  setting.room = { cpus: 4, memoryMiB: 64_000, volumeGiB: 10 };
  setting.server.queue();
  await setting.start();
  const told = await eventually(() => setting.logged.find(({ level }) => level === 'warn'));
  expect(told.message).toMatch(/32 GiB of disk are needed and 8 are left.*--volume-gib.*--overcommit-disk/);
  expect(setting.isolation.sandboxes).toHaveLength(0);
});
