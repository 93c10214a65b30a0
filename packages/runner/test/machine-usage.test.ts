import { openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GuestReports, type GuestUsage } from '../src/isolation/vm/guest-reports.ts';
import { MachineUsage } from '../src/isolation/vm/machine-usage.ts';
import { VolumeFile } from '../src/isolation/volume-file.ts';

const size = { cpus: 2, memoryMiB: 512, volumeGiB: 1 };

/** What a machine is said to use whose guest says this. In the place of QEMU stands this process. */
async function saidBy(guest: Partial<GuestUsage>) {
  const volume = new VolumeFile(openSync('/dev/null', 'r'));
  const reports = new GuestReports();
  const told: GuestUsage = {
    ...{ event: 'usage', uptimeMilliseconds: 1, cpuMicroseconds: 7_000, memoryBytes: 1, volumeBytes: 2 },
    ...{ receivedBytes: 3, sentBytes: 4 },
    ...guest,
  };
  const send = () => reports.hear(told);
  const usage = new MachineUsage({ size, processId: () => process.pid, volume, reports, send });
  await usage.read(true);
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
