import { readdir, readFile, writeFile } from 'node:fs/promises';
import type { CacheGrant } from '@slipway/core';
import { expect, test } from 'vitest';
import { type CacheDevice, DamagedDevice } from '../src/isolation/isolation.ts';
import { grant, inRun, otherKey, paths, previewGrant } from './run-cache-setting.ts';
import { RunSetting } from './run-setting.ts';

/** A device in the hands of the test: what is installed on a new one is the text `installs`. */
class HeldDevice implements CacheDevice {
  installs = 'packages';
  failure: Error | undefined;
  newFailure: Error | undefined;
  readonly mounted: string[] = [];

  async mountNew(file: string, folders: readonly string[]): Promise<void> {
    if (this.newFailure) throw this.newFailure;
    await writeFile(file, this.installs);
    this.mounted.push(`new at ${folders.join()}`);
  }

  async mountKept(file: string): Promise<void> {
    if (this.failure) throw this.failure;
    this.mounted.push(`kept ${await readFile(file, 'utf8')}`);
  }

  async seal(): Promise<void> {
    if (this.failure) throw this.failure;
  }
}

async function deviceSetting(limits?: {
  maximumEntryBytes: number;
}): Promise<{ setting: RunSetting; device: HeldDevice }> {
  const setting = await RunSetting.create();
  const device = new HeldDevice();
  setting.isolation.cacheDevice = device;
  await setting.openCache(limits);
  await setting.start();
  return { setting, device };
}

/** A run that asks for its entry, and saves when it may. Answers what it was told. */
async function oneRun(setting: RunSetting, cache: CacheGrant = grant(), wanted: { key?: string } = {}) {
  const said: string[] = [];
  const finish = await inRun(setting, cache, async (executor, job) => {
    expect(job.cacheTransfer).toBe('device');
    const { entry, reason, mayBeSaved } = await executor.restore(wanted);
    said.push(`${entry}: ${reason}`);
    if (!mayBeSaved) return;
    const { entryBytes, reason: whyNot } = await executor.ask({ type: 'cache-save' }, 'cache-saved');
    said.push(entryBytes === null ? `not saved: ${whyNot}` : 'saved');
  });
  expect(finish.outcome).toBe('succeeded');
  return said;
}

test('what was written to the device of one run is mounted in the next one, which writes to none', async () => {
  const { setting, device } = await deviceSetting();
  await using _ = setting;
  expect(await oneRun(setting)).toEqual(['none: there is no entry for this key yet', 'saved']);
  device.installs = 'other packages';
  expect(await oneRun(setting)).toEqual([expect.stringContaining('mounted: an entry of')]);
  expect(device.mounted).toEqual([`new at ${paths.join()}`, 'kept packages']);
});

test('what a preview wrote is never mounted in a run of the main scope', async () => {
  const { setting, device } = await deviceSetting();
  await using _ = setting;
  device.installs = 'poison';
  await oneRun(setting, previewGrant());
  await oneRun(setting, previewGrant(), { key: otherKey });
  device.installs = 'good';
  expect(await oneRun(setting)).toContain('saved');
  expect(await oneRun(setting, grant(), { key: otherKey })).toContain('saved');
  await oneRun(setting);
  await oneRun(setting, grant(), { key: otherKey });
  expect(device.mounted.slice(-2)).toEqual(['kept good', 'kept good']);
});

test('a damaged entry is replaced by what the run installs; one of a more trusted scope stays', async () => {
  const { setting, device } = await deviceSetting();
  await using _ = setting;
  await oneRun(setting);
  device.failure = new DamagedDevice('bad superblock');
  await inRun(setting, previewGrant(), async (executor) => {
    const answer = await executor.restore();
    expect(answer).toMatchObject({ entry: 'none', reason: 'the entry is damaged (bad superblock)' });
  });
  device.failure = undefined;
  expect(await oneRun(setting)).toEqual([expect.stringContaining('mounted')]);

  device.failure = new DamagedDevice('bad superblock');
  device.installs = 'repaired';
  await inRun(setting, grant(), async (executor) => {
    const answer = await executor.restore();
    expect(answer).toMatchObject({ entry: 'none', mayBeSaved: true });
    device.failure = undefined;
    expect(await executor.ask({ type: 'cache-save' }, 'cache-saved')).toMatchObject({ reason: '' });
  });
  expect(await oneRun(setting)).toEqual([expect.stringContaining('mounted')]);
  expect(device.mounted.at(-1)).toBe('kept repaired');
});

test('a device that cannot be mounted in time is no fault of the entry, which stays', async () => {
  const { setting, device } = await deviceSetting();
  await using _ = setting;
  await oneRun(setting);
  device.failure = new Error('the guest did not answer in time');
  await inRun(setting, grant(), async (executor) => {
    expect((await executor.restore()).reason).toBe('the guest did not answer in time');
  });
  device.failure = undefined;
  expect(await oneRun(setting)).toEqual([expect.stringContaining('mounted')]);
});

test('a device that cannot be sealed, or holds too much, is not kept, and the run says why', async () => {
  const { setting, device } = await deviceSetting({ maximumEntryBytes: 8192 });
  await using _ = setting;
  device.failure = new Error('the guest did not answer in time');
  expect(await oneRun(setting)).toContain('not saved: the guest did not answer in time');
  device.failure = undefined;
  device.installs = 'x'.repeat(20_000);
  expect(await oneRun(setting)).toContain('not saved: it is larger than 8192 bytes');
  device.installs = 'packages';
  expect(await oneRun(setting)).toContain('saved');
});

test('a device that was not saved leaves nothing', async () => {
  const { setting } = await deviceSetting();
  await using _ = setting;
  await inRun(setting, grant(), async (executor) => void (await executor.restore()));
  expect(await readdir(`${setting.directory}/dependency-cache`)).toEqual([]);
});

test('a device that could not be mounted is told, cannot be saved, and leaves nothing', async () => {
  const { setting, device } = await deviceSetting();
  await using _ = setting;
  device.newFailure = new Error('the guest did not answer in time');
  const said = await oneRun(setting);
  expect(said).toEqual([expect.stringContaining('nothing will be saved: the guest did not answer in time')]);
  expect(await readdir(`${setting.directory}/dependency-cache`)).toEqual([]);
  const saving = await inRun(setting, grant(), async (executor) => {
    await executor.restore();
    executor.say({ type: 'cache-save' });
  });
  expect(saving).toMatchObject({ outcome: 'failed', cause: 'protocol-violation' });
});
