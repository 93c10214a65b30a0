import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type CacheDevice, DamagedDevice, type Sandbox } from '../src/isolation/isolation.ts';
import type { SandboxBench } from '../src/testing/sandbox-bench.ts';
import { SandboxShell, shellScript } from '../src/testing/sandbox-shell.ts';
import { openVmBench, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

/** Emulated, on a host that has other things to do. */
const patience = 60_000;
const folders = ['/project/node_modules', '/root/.npm'];

let bench: SandboxBench;
beforeAll(async () => {
  bench = await openVmBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

let files = 0;
function emptyFile(): string {
  files += 1;
  const path = join(bench.folder, `entry-${files}`);
  writeFileSync(path, '', { mode: 0o600 });
  return path;
}

interface Machine {
  readonly sandbox: Sandbox;
  readonly shell: SandboxShell;
  readonly device: CacheDevice;
}

/** A machine in which the folders are there, as the executor makes them. */
async function machine(): Promise<Machine> {
  const sandbox = await bench.start(shellScript);
  const shell = new SandboxShell(sandbox);
  await sandbox.started;
  if (sandbox.cacheDevice === null) throw new Error('a virtual machine has a cache device');
  expect(await shell.run(`mkdir -p ${folders.join(' ')}; echo of the image > /root/.npm/image`)).toBe('');
  return { sandbox, shell, device: sandbox.cacheDevice };
}

/** A device as a hostile machine leaves it: the host makes it out of a folder. */
function craftedDevice(make: (top: string) => void, ...options: string[]): string {
  const path = emptyFile();
  const top = `${path}.folder`;
  mkdirSync(top);
  make(top);
  truncateSync(path, 64 * 1024 ** 2);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', top, ...options, path]);
  return path;
}

const layers = (top: string, ...numbers: number[]) => {
  for (const number of numbers) mkdirSync(join(top, String(number), 'upper'), { recursive: true });
};
const lastWritten = (path: string) => statSync(path, { bigint: true }).mtimeNs;

describe('the cache device of a virtual machine', { timeout: vmTimeoutMilliseconds }, () => {
  test('shows a later machine what an earlier one wrote, and is never written to again', async () => {
    const entry = emptyFile();
    // Steps may run as a user of the image's own.
    const own = 'chown 1000:1001 /root/.npm; chmod 751 /root/.npm';
    const owner = 'stat -c "%u:%g %a" /root/.npm';
    const first = await machine();
    await first.shell.run(own);
    await first.device.mountNew(entry, folders, patience);
    expect(await first.shell.run(owner)).toBe('1000:1001 751\n');
    expect(await first.shell.run('cat /root/.npm/image')).toBe('of the image\n');
    const write = `cd /project/node_modules; mkdir -p ms; echo packages > ms/index.js; ln -s ms/index.js link;
      chmod 750 ms/index.js; rm /root/.npm/image; echo downloaded > /root/.npm/file; cd /`;
    expect(await first.shell.run(write)).toBe('');
    await first.shell.run('(while :; do echo late >> /root/.npm/late; sync; done) &');
    await first.device.seal(patience);
    const sealed = lastWritten(entry);
    // Whatever the machine goes on to do, nothing more gets into the file.
    await first.shell.run('sleep 1');
    expect(lastWritten(entry)).toBe(sealed);
    await first.sandbox.destroy();
    expect(lastWritten(entry)).toBe(sealed);
    expect(statSync(entry).blocks * 512).toBeLessThan(20 * 1024 ** 2);

    const second = await machine();
    await second.shell.run(own);
    await second.device.mountKept(entry, folders, patience);
    expect(await second.shell.run(owner)).toBe('1000:1001 751\n');
    const read = 'cd /project/node_modules; cat link; stat -c %a ms/index.js; ls /root/.npm; cd /';
    expect(await second.shell.run(read)).toBe('packages\n750\nfile\nlate\n');
    const change = 'echo changed > /root/.npm/file; rm -r /project/node_modules/ms; cat /root/.npm/file';
    expect(await second.shell.run(`${change}; ls /project/node_modules`)).toBe('changed\nlink\n');
    await second.sandbox.destroy();
    expect(lastWritten(entry)).toBe(sealed);
  });

  test('is mounted for the container and not by it: it can neither take it away nor reach around it', async () => {
    const entry = craftedDevice((top) => {
      layers(top, 0, 1);
      execFileSync('mknod', [join(top, '0/upper/disk'), 'b', '254', '0']);
      execFileSync('mknod', [join(top, '0/upper/memory'), 'c', '1', '1']);
      writeFileSync(join(top, '0/upper/tool'), '#!/bin/sh\nid -u\n', { mode: 0o4755 });
    });
    const { shell, device } = await machine();
    await device.mountKept(entry, folders, patience);
    expect(await shell.run('umount /project/node_modules')).toContain('Operation not permitted');
    expect(await shell.run('mount -o remount,dev /project/node_modules')).toContain('ermi');
    expect(await shell.run('head -c 1 /project/node_modules/disk')).toContain('Permission denied');
    expect(await shell.run('head -c 1 /project/node_modules/memory')).toContain('Permission denied');
    const options = await shell.run('grep " /project/node_modules " /proc/mounts');
    expect(options).toMatch(/ overlay rw,nosuid,nodev,/);
    expect(await shell.run('ls /run /slipway-devices')).not.toContain('cache');
  });

  test('lands where the links of the container lead inside of it, and never outside', async () => {
    const entry = craftedDevice((top) => {
      layers(top, 0, 1);
      writeFileSync(join(top, '0/upper/here'), '');
    });
    const { shell, device } = await machine();
    // In the machine itself these paths exist: its root holds /run/bundle and /bin/crun.
    const links = `mkdir -p /data /run/bundle; rmdir /project/node_modules;
      ln -s ../../../../../../data /project/node_modules; rm -r /root/.npm; ln -s /run/bundle /root/.npm`;
    expect(await shell.run(links)).toBe('');
    await device.mountKept(entry, folders, patience);
    expect(await shell.run('ls /data /project/node_modules/; ls /run/bundle')).toBe(
      '/data:\nhere\n\n/project/node_modules/:\nhere\n',
    );
    expect(await shell.run('grep -c " /run/bundle " /proc/mounts')).toBe('1\n');
  });

  test('at a folder that is none nothing is mounted at all, and the machine goes on', async () => {
    const { shell, device } = await machine();
    const entry = craftedDevice((top) => layers(top, 0, 1));
    // Not there, a file, and a way through the descriptors of a process.
    for (const wrong of ['/none', '/etc/passwd', '/proc/self/cwd']) {
      const mounting = device.mountKept(entry, ['/project/node_modules', wrong], patience);
      const failure = await mounting.catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(Error);
      expect(failure).not.toBeInstanceOf(DamagedDevice);
      expect(String(failure)).toContain(wrong);
      expect(await shell.run('grep -c node_modules /proc/mounts')).toBe('0\nexit 1\n');
    }
  });

  test('is mounted when the kernel has made the disk, of which it shows the file a moment before', async () => {
    // One processor of the machine looks while another is in the middle of it: of ten disks one was seen too early.
    const { device } = await machine();
    const entry = craftedDevice((top) => layers(top, 0));
    for (let disks = 0; disks < 50; disks += 1) {
      const failure = await device.mountKept(entry, ['/none'], patience).catch((error: unknown) => error);
      expect(String(failure)).toContain('the container has no folder /none');
    }
  });

  test('one that is damaged, or was made to lead elsewhere, is told as such, and a new one can take its place', async () => {
    const damaged: Record<string, string> = {
      'a link in the place of a layer': craftedDevice((top) => {
        layers(top, 1);
        mkdirSync(join(top, '0'));
        symlinkSync('/run/bundle', join(top, '0/upper'));
      }),
      'a link on the way to a layer': craftedDevice((top) => {
        layers(top, 1);
        symlinkSync('../../run', join(top, '0'));
      }),
      'a layer that is not there': craftedDevice((top) => layers(top, 0)),
      'an empty file': emptyFile(),
      'a file that is cut short': craftedDevice((top) => layers(top, 0, 1)),
      'other bytes': emptyFile(),
    };
    truncateSync(damaged['a file that is cut short'] ?? '', 8 * 1024);
    writeFileSync(damaged['other bytes'] ?? '', Buffer.alloc(1024 ** 2, 'not a file system'));
    const { shell, device } = await machine();
    for (const [name, entry] of Object.entries(damaged)) {
      const failure = await device.mountKept(entry, folders, patience).catch((error: unknown) => error);
      expect(failure, name).toBeInstanceOf(DamagedDevice);
      expect(await shell.run('grep -c node_modules /proc/mounts'), name).toBe('0\nexit 1\n');
    }
    await device.mountNew(emptyFile(), folders, patience);
    expect(await shell.run('echo x > /project/node_modules/x; ls /project/node_modules')).toBe('x\n');
  });

  test('a device that wants errors on it to end the machine ends none', async () => {
    const entry = craftedDevice(
      (top) => {
        layers(top, 0, 1);
        for (let index = 0; index < 50; index += 1) writeFileSync(join(top, '0/upper', `file-${index}`), 'x');
      },
      '-e',
      'panic',
      '-O',
      'metadata_csum',
    );
    // Where the names of the files are.
    const listing = execFileSync('debugfs', ['-R', 'blocks /0/upper', entry], { encoding: 'utf8' });
    const blockBytes = 1024;
    const bytes = readFileSync(entry);
    for (const block of listing.trim().split(/\s+/).map(Number)) {
      bytes.fill(0xff, block * blockBytes, (block + 1) * blockBytes);
    }
    writeFileSync(entry, bytes);
    const { shell, device } = await machine();
    await device.mountKept(entry, folders, patience).catch(() => {});
    await shell.run('ls -R /project/node_modules');
    expect(await shell.run('echo alive')).toBe('alive\n');
  });

  test('what comes too late is not mounted any more', async () => {
    const { shell, device } = await machine();
    const entry = craftedDevice((top) => layers(top, 0, 1));
    // A guest that has much to do says so later than its host waits for that.
    const tooLate = /it took too long|the guest did not answer in time/;
    await expect(device.mountKept(entry, folders, 0)).rejects.toThrow(tooLate);
    expect(await shell.run('sleep 2; grep -c node_modules /proc/mounts')).toBe('0\nexit 1\n');
  });

  test('is gone with its machine: destroying it leaves nothing, and waits for no writer', async () => {
    const before = bench.traces();
    const { sandbox, shell, device } = await machine();
    await device.mountNew(emptyFile(), folders, patience);
    await shell.run('dd if=/dev/zero of=/root/.npm/large bs=1M count=50 2>/dev/null');
    await device.seal(patience);
    const proof = await sandbox.destroy();
    expect(proof.milliseconds).toBeLessThanOrEqual(1000);
    await bench.clear();
    expect(bench.traces()).toEqual(before);
  });
});
