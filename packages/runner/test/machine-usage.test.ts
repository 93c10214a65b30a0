import { openSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { GuestReports, type GuestUsage } from '../src/isolation/vm/guest-reports.ts';
import { MachineUsage } from '../src/isolation/vm/machine-usage.ts';
import { VolumeFile } from '../src/isolation/volume-file.ts';

const size = { cpus: 2, memoryMiB: 512, volumeGiB: 1 };

afterEach(() => vi.restoreAllMocks());

/**
 * What a machine is said to use whose guest says this, after it first said `before`. In the place of QEMU stands this
 * process.
 */
async function saidBy(
  guest: Partial<GuestUsage>,
  before: Partial<GuestUsage> = guest,
  waitedMilliseconds = 0,
) {
  const volume = new VolumeFile(openSync('/dev/null', 'r'));
  const reports = new GuestReports();
  const told: GuestUsage = {
    ...{ event: 'usage', uptimeMilliseconds: 1, cpuMicroseconds: 7_000, memoryBytes: 1, volumeBytes: 2 },
    ...{ receivedBytes: 3, sentBytes: 4 },
  };
  let said = before;
  const send = () => reports.hear({ ...told, ...said });
  const answers = { lost: () => {} };
  const usage = new MachineUsage({ size, processId: () => process.pid, volume, reports, send, answers });
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + waitedMilliseconds);
  await usage.read(true);
  said = guest;
  const { sandbox, host } = await usage.read(true);
  await volume.close();
  if (!sandbox || !host) throw new Error('nothing was said');
  return { sandbox: sandbox.use, host: host.use };
}

test('a guest is believed in what its machine can have used', async () => {
  const { sandbox } = await saidBy({});
  const use = { cpuMilliseconds: 7, memoryBytes: 1, volumeBytes: 2, receivedBytes: 3, sentBytes: 4 };
  expect(sandbox).toEqual(use);
});

test('a guest is not believed beyond the size of its machine, and what the host saw of its network', async () => {
  const most = Number.MAX_SAFE_INTEGER;
  const lie = {
    cpuMicroseconds: most,
    memoryBytes: most,
    volumeBytes: most,
    receivedBytes: most,
    sentBytes: most,
  };
  const { sandbox, host } = await saidBy(lie);
  expect(sandbox.cpuMilliseconds).toBeLessThan(2 * 1_500);
  expect(sandbox.memoryBytes).toBe(512 * 1024 ** 2);
  expect(sandbox.volumeBytes).toBe(1024 ** 3);
  expect(sandbox.receivedBytes).toBeLessThanOrEqual(host.receivedBytes * 2 + 1024 ** 2);
  expect(sandbox.sentBytes).toBeLessThanOrEqual(host.sentBytes * 2 + 1024 ** 2);
});

test('a guest whose machine has waited for long cannot say that all that time was used by its run', async () => {
  const waitedMilliseconds = 30 * 60_000;
  const lie = { cpuMicroseconds: Number.MAX_SAFE_INTEGER };
  const { sandbox } = await saidBy(lie, { cpuMicroseconds: 7_000 }, waitedMilliseconds);
  expect(sandbox.cpuMilliseconds).toBeLessThan(2 * 1_500);
});
