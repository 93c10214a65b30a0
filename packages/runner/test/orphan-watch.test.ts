import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { removeOrphans } from '../src/isolation/orphans.ts';
import { SandboxNames } from '../src/isolation/sandbox-names.ts';
import { OrphanWatch } from '../src/orphan-watch.ts';

afterEach(() => vi.useRealTimers());

type Told = [fields: object, message: string];

/** A log, and what it was told. */
function listen() {
  const told: Told[] = [];
  const hear = (...entry: Told) => void told.push(entry);
  return { told, log: { info: hear, warn: hear, error: hear } };
}

test('what is left behind while the runner works is removed by one of its later sweeps', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-orphan-watch-'));
  const names = new SandboxNames(folder);
  const { told, log } = listen();
  let sweeps = 0;
  const swept = Promise.withResolvers<void>();
  const sweep = async () => {
    const removed = await removeOrphans(names);
    sweeps += 1;
    if (sweeps === 1) swept.resolve();
    return removed;
  };
  const watch = new OrphanWatch({ removeOrphans: sweep }, log, 20);
  try {
    await swept.promise;
    const name = names.take('run-1');
    writeFileSync(join(folder, `${name}.volume`), '');
    const before = sweeps;
    await vi.waitFor(() => expect(sweeps).toBeGreaterThan(before + 2), { timeout: 10_000 });
    // As long as its sandbox lives, it is nobody's to remove.
    expect(readdirSync(folder)).toEqual([`${name}.volume`]);
    names.giveBack(name);
    await vi.waitFor(() => expect(readdirSync(folder)).toEqual([]), { timeout: 10_000 });
    await vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 10_000 });
    expect(told[0]).toEqual([
      { removed: [`file ${join(folder, name)}.volume`] },
      'Removed what was left of runs on this host',
    ]);
  } finally {
    await watch.close();
    rmSync(folder, { recursive: true });
  }
});

test('it sweeps at once and then each minute, also after a sweep that failed, and not after its end', async () => {
  vi.useFakeTimers();
  const { told, log } = listen();
  const removing = vi.fn<() => Promise<readonly string[]>>().mockResolvedValue([]);
  removing.mockRejectedValueOnce(new Error('a control group does not go'));
  const watch = new OrphanWatch({ removeOrphans: removing }, log);
  await vi.advanceTimersByTimeAsync(59_999);
  expect(removing).toHaveBeenCalledTimes(1);
  expect(told.map(([, message]) => message)).toEqual([expect.stringContaining('could not be removed')]);
  await vi.advanceTimersByTimeAsync(1);
  expect(removing).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(removing).toHaveBeenCalledTimes(4);
  await watch.close();
  await vi.advanceTimersByTimeAsync(600_000);
  expect(removing).toHaveBeenCalledTimes(4);
});

test('a slow sweep is not joined by a second one, and its end is waited for', async () => {
  const sweeping = Promise.withResolvers<readonly string[]>();
  const { log } = listen();
  const removing = vi.fn(() => sweeping.promise);
  const watch = new OrphanWatch({ removeOrphans: removing }, log, 5);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(removing).toHaveBeenCalledTimes(1);
  let isClosed = false;
  const closing = watch.close().then(() => {
    isClosed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isClosed).toBe(false);
  sweeping.resolve([]);
  await closing;
});
