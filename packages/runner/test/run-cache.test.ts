import { randomBytes } from 'node:crypto';
import { readdir, rm, truncate } from 'node:fs/promises';
import { type FrameFromExecutor, maximumPieceBytes } from '@slipway/core';
import { expect, test } from 'vitest';
import { grant, inRun, key, otherKey, paths, previewGrant, startedSetting } from './run-cache-setting.ts';
import { eventually, RunSetting } from './run-setting.ts';

/** A run that finds nothing and saves `archive`. */
function saving(setting: RunSetting, cache: ReturnType<typeof grant>, archive: Buffer, wanted = {}) {
  return inRun(setting, cache, async (executor) => {
    expect(await executor.restore(wanted)).toMatchObject({ entry: 'none', mayBeSaved: true });
    expect(await executor.save(archive)).toMatchObject({ entryBytes: archive.length });
  });
}

/** What a run gets: the archive, or undefined. */
async function restoring(setting: RunSetting, cache: ReturnType<typeof grant>, wanted = {}) {
  let archive: Buffer | undefined;
  await inRun(setting, cache, async (executor) => {
    const { entry } = await executor.restore(wanted);
    if (entry === 'archive') archive = await executor.readAll();
  });
  return archive;
}

test('what one run saves the next one gets, byte for byte, and is told of which scope it is', async () => {
  await using setting = await startedSetting();
  const archive = randomBytes(maximumPieceBytes * 2 + 1000);
  expect(await saving(setting, grant(), archive)).toMatchObject({ outcome: 'succeeded' });
  await inRun(setting, grant(), async (executor, job) => {
    expect(job.cacheTransfer).toBe('archive');
    const answer = await executor.restore();
    expect(answer).toMatchObject({ entry: 'archive', mayBeSaved: false });
    expect(answer.reason).toContain('scope "main"');
    expect(archive.equals(await executor.readAll())).toBe(true);
  });
});

test('an archive whose length is a whole number of pieces comes complete', async () => {
  await using setting = await startedSetting();
  const archive = randomBytes(maximumPieceBytes * 2);
  await saving(setting, grant(), archive);
  expect((await restoring(setting, grant()))?.equals(archive)).toBe(true);
});

test('an entry is of one key, image, set of paths and project', async () => {
  await using setting = await RunSetting.create();
  await setting.openCache();
  let digest = 'sha256:1111';
  setting.images = {
    resolve: async (reference) => ({
      ...{ reference, digest, erofsPath: '/nowhere' },
      config: { environment: {}, user: { userId: 0, groupId: 0, furtherGroupIds: [], home: '/root' } },
      release: async () => {},
    }),
  };
  await setting.start();
  await saving(setting, grant(), Buffer.from('archive'));
  expect(await restoring(setting, grant(), { key: otherKey })).toBeUndefined();
  expect(await restoring(setting, grant(), { paths: ['/elsewhere/node_modules'] })).toBeUndefined();
  expect(await restoring(setting, grant({ namespace: 'pool/other/1' }))).toBeUndefined();
  expect((await restoring(setting, grant()))?.toString()).toBe('archive');
  digest = 'sha256:2222';
  expect(await restoring(setting, grant())).toBeUndefined();
});

test('a preview reads the main scope and never writes it, also for keys that main has not used yet', async () => {
  await using setting = await startedSetting();
  await saving(setting, previewGrant(), Buffer.from('poison'));
  await saving(setting, grant(), Buffer.from('good'));
  await saving(setting, previewGrant(), Buffer.from('guessed'), { key: otherKey });
  expect((await restoring(setting, grant()))?.toString()).toBe('good');
  expect(await restoring(setting, grant(), { key: otherKey })).toBeUndefined();
  // Its own scope comes first; another preview gets what main has.
  expect((await restoring(setting, previewGrant()))?.toString()).toBe('poison');
  const other = previewGrant({ writeScope: 'preview of prod', readScopes: ['preview of prod', 'main'] });
  expect((await restoring(setting, other))?.toString()).toBe('good');
});

test('a run that says an entry is damaged drops it only where it might have written it', async () => {
  await using setting = await startedSetting();
  await saving(setting, grant(), Buffer.from('good'));
  const complain = (cache: ReturnType<typeof grant>) =>
    inRun(setting, cache, async (executor) => {
      await executor.restore();
      executor.say({ type: 'cache-unusable' });
    });
  await complain(previewGrant());
  expect((await restoring(setting, grant()))?.toString()).toBe('good');
  await complain(grant());
  expect(await restoring(setting, grant())).toBeUndefined();
});

test('a file that was cut short on the disk is handed over as it is: the executor finds the damage', async () => {
  await using setting = await startedSetting();
  const archive = randomBytes(maximumPieceBytes * 2);
  await saving(setting, grant(), archive);
  await inRun(setting, grant(), async (executor) => {
    expect(await executor.restore()).toMatchObject({ entry: 'archive' });
    const folder = `${setting.directory}/dependency-cache`;
    const [content = ''] = (await readdir(folder)).filter((name) => name.endsWith('.content'));
    await truncate(`${folder}/${content}`, 1000);
    expect(await executor.readAll()).toHaveLength(1000);
  });
});

test('an archive above the largest size is refused at once, and the rest of it is swallowed', async () => {
  await using setting = await startedSetting({ maximumEntryBytes: maximumPieceBytes });
  const finish = await inRun(setting, grant(), async (executor) => {
    await executor.restore();
    const refused = await executor.save(randomBytes(maximumPieceBytes * 4));
    expect(refused).toMatchObject({ entryBytes: null, reason: expect.stringContaining('larger than') });
  });
  expect(finish.outcome).toBe('succeeded');
  expect(await restoring(setting, grant())).toBeUndefined();
});

test('an archive that no file can be made for is refused, and the run succeeds', async () => {
  await using setting = await startedSetting();
  const finish = await inRun(setting, grant(), async (executor) => {
    await executor.restore();
    await rm(`${setting.directory}/dependency-cache`, { recursive: true });
    const refused = await executor.save(randomBytes(maximumPieceBytes * 2));
    expect(refused).toMatchObject({ entryBytes: null, reason: expect.stringContaining('ENOENT') });
  });
  expect(finish.outcome).toBe('succeeded');
});

test('an archive that was not finished is no entry', async () => {
  await using setting = await startedSetting();
  await inRun(setting, grant(), async (executor) => {
    await executor.restore();
    executor.say({ type: 'cache-write', bytes: Buffer.from('half').toString('base64'), isLast: false });
  });
  expect(await restoring(setting, grant())).toBeUndefined();
});

test('without a wish in the settings, or without a cache on the runner, none is offered', async () => {
  await using setting = await startedSetting();
  await inRun(setting, null, async (_executor, job) => expect(job.cacheTransfer).toBeUndefined());
  await using without = await RunSetting.create();
  await without.start();
  await inRun(without, grant(), async (_executor, job) => expect(job.cacheTransfer).toBeUndefined());
});

test.each<[string, FrameFromExecutor[]]>([
  ['reads before it has named a key', [{ type: 'cache-read' }]],
  [
    'names two keys',
    [
      { type: 'cache-restore', key, paths },
      { type: 'cache-restore', key: otherKey, paths },
    ],
  ],
  ['reads an entry that is not there', [{ type: 'cache-restore', key, paths }, { type: 'cache-read' }]],
  ['saves a device that it does not have', [{ type: 'cache-restore', key, paths }, { type: 'cache-save' }]],
])('an executor that %s violates the protocol', async (_name, frames) => {
  await using setting = await startedSetting();
  const finish = await inRun(setting, grant(), async (executor) => executor.say(...frames));
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'protocol-violation' });
});

test('an executor that was offered none and asks violates the protocol', async () => {
  await using setting = await startedSetting();
  const finish = await inRun(setting, null, async (executor) =>
    executor.say({ type: 'cache-restore', key, paths }),
  );
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'protocol-violation' });
});

test.each([
  ['a key that is none', { key: 'npm-1' }],
  ['a key that is a path', { key: `npm-${'0'.repeat(61)}/..` }],
  ['a path with ..', { paths: ['/deployment/../etc'] }],
  ['a path of the system', { paths: ['/proc/self'] }],
  ['a relative path', { paths: ['node_modules'] }],
  ['a path with a line break', { paths: ['/a\n/b'] }],
  ['no path', { paths: [] }],
])('%s is no frame of the protocol', async (_name, wrong) => {
  await using setting = await startedSetting();
  const finish = await inRun(setting, grant(), async (executor) =>
    executor.say({ type: 'cache-restore', key, paths, ...wrong }),
  );
  expect(finish).toMatchObject({ outcome: 'failed', cause: 'protocol-violation' });
});

test('an executor that asks for an archive again and again and reads nothing does not fill the memory of its runner', async () => {
  await using setting = await RunSetting.create();
  setting.server.heartbeatSeconds = 0.1;
  await setting.openCache();
  await setting.start();
  await saving(setting, grant(), Buffer.alloc(maximumPieceBytes * 40));
  const run = setting.server.queue({ cache: grant() });
  const sandbox = await setting.sandboxWithJob(2);
  sandbox.say({ type: 'plan', steps: ['Restore cache'] }, { type: 'cache-restore', key, paths });
  await eventually(() => sandbox.received.some(({ type }) => type === 'cache-restored'));
  sandbox.goDeaf();
  for (let piece = 0; piece < 40; piece += 1) sandbox.say({ type: 'cache-read' });
  await eventually(() => sandbox.channel.writableLength > maximumPieceBytes);
  const heartbeats = run.count('heartbeat');
  await eventually(() => run.count('heartbeat') > heartbeats + 5);
  expect(sandbox.channel.writableLength).toBeLessThan(3 * maximumPieceBytes);
});
