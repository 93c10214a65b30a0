import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Guest } from '../src/guest/ensure-guest.ts';
import { cgroupParents } from '../src/isolation/container/cgroup.ts';
import { isAlive, machinesBelow, parentOf } from '../src/testing/host-processes.ts';
import { outputOf, type SandboxBench } from '../src/testing/sandbox-bench.ts';
import { openVmBench, ownGuest, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

/** Paths below a folder, as they would be if it were the root. */
function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

describe('a virtual machine', { timeout: vmTimeoutMilliseconds }, () => {
  let guest: Guest;
  let bench: SandboxBench;
  beforeAll(async () => {
    guest = await ownGuest();
    bench = await openVmBench({ guest });
  });
  afterEach(() => bench.clear());
  afterAll(() => bench.close());

  test('has a kernel and a boot of its own, and tells which', async () => {
    const sandbox = await bench.start('cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/osrelease >&3');
    const boot = await sandbox.started;
    const [bootId = '', kernelRelease = ''] = (await outputOf(sandbox)).split('\n');
    expect(boot).toMatchObject({
      bootId,
      kernelRelease,
      kernelDigest: guest.kernelDigest,
      initramfsDigest: guest.initramfsDigest,
    });
    expect(bootId).not.toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(kernelRelease).not.toBe(release());
  });

  test('has a host name and a machine id of its own: the container has no other', async () => {
    const script = 'hostname; readlink /proc/self/ns/uts; cat /etc/machine-id; cat /proc/self/mountinfo';
    const sandbox = await bench.start(`(${script}) >&3`, { hostname: 'run-4711' });
    const [name, namespace, machineId, ...mounts] = (await outputOf(sandbox)).split('\n');
    expect(name).toBe('run-4711');
    expect(machineId).toMatch(/^[0-9a-f]{32}$/);
    // The first namespace of a kernel, and a file of the guest's own root.
    expect(namespace).toBe('uts:[4026531838]');
    expect(mounts).toContainEqual(expect.stringContaining(' /etc/machine-id /etc/machine-id '));
  });

  test('cannot be stopped by the root of its container', async () => {
    const crash = 'echo c > /proc/sysrq-trigger; reboot -f; poweroff -f; halt -f; kill -KILL 1';
    const sandbox = await bench.start(`(${crash}) 2>/dev/null; echo alive >&3; exit 7`);
    expect(await outputOf(sandbox)).toBe('alive\n');
    expect(await sandbox.exited).toMatchObject({ exitCode: 7, cause: null });
  });

  test('is a process without rights: a user of its own, no capabilities, system calls filtered', async () => {
    await bench.start('sleep 600');
    await bench.start('sleep 600');
    const status = () => machinesBelow(process.pid).map((id) => readFileSync(`/proc/${id}/status`, 'utf8'));
    // Its filters are in place once its machine runs.
    await expect
      .poll(() => status().map((text) => /^Seccomp:\t2$/m.test(text)), { timeout: 30_000 })
      .toEqual([true, true]);
    const users = status().map((text) => {
      expect(text).toMatch(/^CapInh:\t0+$/m);
      expect(text).toMatch(/^CapPrm:\t0+$/m);
      expect(text).toMatch(/^CapEff:\t0+$/m);
      expect(text).toMatch(/^CapBnd:\t0+$/m);
      expect(text).toMatch(/^NoNewPrivs:\t1$/m);
      expect(text).toMatch(/^Groups:\t\s*$/m);
      return /^Uid:\t(\d+)\t\1\t\1\t\1$/m.exec(text)?.[1];
    });
    if (process.getuid?.() !== 0) return;
    expect(users[0]).not.toBe(users[1]);
    for (const user of users) expect(Number(user)).toBeGreaterThan(65_535);
  });

  test('is confined: namespaces of its own, a root that holds QEMU alone, limits of memory and processes', async () => {
    const sandbox = await bench.start('sleep 600', { size: { memoryMiB: 400 } });
    await sandbox.started;
    const [machine = 0] = machinesBelow(process.pid);
    expect(await sandbox.hostProcess).toBe(machine);
    for (const kind of ['mnt', 'net', 'ipc', 'pid'])
      expect(readlinkSync(`/proc/${machine}/ns/${kind}`), kind).not.toBe(
        readlinkSync(`/proc/self/ns/${kind}`),
      );
    // What is seen there and is no folder is QEMU's: programs of the host, or files that are not there to be changed.
    const root = `/proc/${machine}/root`;
    expect(readdirSync(root).sort()).toEqual(
      expect.not.arrayContaining(['home', 'root', 'proc', 'sys', 'run', 'tmp', 'var', 'opt', 'srv']),
    );
    const files = filesBelow(root).filter((path) => !/^\/usr\/share\/(qemu|seabios)\//.test(path));
    const others = files.filter(
      (path) => !/\.so(\.|$)|^\/(boot\/(kernel|initramfs)|etc\/ld\.so\.cache|dev\/kvm)$/.test(path),
    );
    expect(others).toEqual([expect.stringMatching(/\/qemu-system-x86_64$/)]);
    const mounts = readFileSync(`/proc/${machine}/mountinfo`, 'utf8').trim().split('\n');
    expect(mounts.length).toBeGreaterThan(10);
    for (const mount of mounts) expect(mount.split(' ')[5]).toMatch(/^ro,nosuid\b/);
    if (process.getuid?.() !== 0) return;
    const groups = readFileSync(`/proc/${machine}/cgroup`, 'utf8');
    const group = /\/(slipway-bench-\S+)$/m.exec(groups)?.[1] ?? '';
    expect(readFileSync(`/proc/${parentOf(machine)}/cgroup`, 'utf8')).toBe(groups);
    const limit = (names: readonly string[]) =>
      cgroupParents().flatMap((parent) => {
        const paths = names.map((name) => join(parent, group, name)).filter((path) => existsSync(path));
        return paths.map((path) => Number(readFileSync(path, 'utf8')));
      });
    const [memoryBytes = 0] = limit(['memory.limit_in_bytes', 'memory.max']);
    expect(memoryBytes).toBeGreaterThan(400 * 1024 ** 2);
    expect(memoryBytes).toBeLessThanOrEqual((400 + 1536) * 1024 ** 2);
    expect(limit(['pids.max'])).toEqual([256]);
    await sandbox.destroy();
    // Of its keeper, by which the runner knows it, it is the child: their ends are one.
    expect(isAlive(machine)).toBe(false);
  });
});
