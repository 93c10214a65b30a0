import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cacheDirectory } from '../src/cache-directory.ts';
import { compile, compileInit } from '../src/guest/compile.ts';
import { ensureGuest, type Guest } from '../src/guest/ensure-guest.ts';
import { writeInitramfs } from '../src/guest/initramfs.ts';
import { cgroupParents } from '../src/isolation/container/cgroup.ts';
import type { Sandbox, SandboxExit } from '../src/isolation/isolation.ts';
import { createVmIsolation } from '../src/isolation/vm/vm-isolation.ts';
import { nodePath } from '../src/setup/repository.ts';
import { clockOffset, tellsTime } from '../src/testing/guest-clock.ts';
import { outputOf, SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';

const cache = cacheDirectory(process.env);
/** Emulated, on a host that has other things to do. */
const timeoutMilliseconds = 240_000;
/** The product's is longer. */
const answerPatienceMilliseconds = 20_000;

/** Process ids of the QEMUs below a process. */
function machinesOf(ancestor: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((id) => parentOf(id) === ancestor);
  return children.flatMap((id) => (commandOf(id).startsWith('qemu-system') ? [id] : machinesOf(id)));
}

function stat(id: number): string {
  try {
    return readFileSync(`/proc/${id}/stat`, 'utf8');
  } catch {
    return '';
  }
}

function parentOf(id: number): number {
  return Number(/\) \S (\d+)/.exec(stat(id))?.[1]);
}

function commandOf(id: number): string {
  return /\((.*)\)/.exec(stat(id))?.[1] ?? '';
}

/** Whether a process still is there; one that only waits to be collected is not. */
function lives(id: number): boolean {
  return /\) [^ZX]/.test(stat(id));
}

async function untilDead(id: number): Promise<number> {
  const start = performance.now();
  while (lives(id)) await sleep(20);
  return performance.now() - start;
}

/** Paths below a folder, as they would be if it were the root. */
function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

/** How it ends while it is asked each second what it uses, as runs do. */
async function exitWhileAsked(sandbox: Sandbox): Promise<SandboxExit> {
  const asking = setInterval(() => void sandbox.usage(), 1_000);
  return sandbox.exited.finally(() => clearInterval(asking));
}

describe('a virtual machine', { timeout: timeoutMilliseconds }, () => {
  let guest: Guest;
  let bench: SandboxBench;
  let clockErrorMilliseconds = 0;
  beforeAll(async () => {
    guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
    bench = await SandboxBench.open((folder) =>
      createVmIsolation({
        guest,
        folder,
        cacheDirectory: cache,
        answerPatienceMilliseconds,
        now: () => Date.now() + clockErrorMilliseconds,
      }),
    );
  });
  afterEach(() => bench.clear());
  afterAll(() => bench.close());

  test('that cannot go on tells the runner why', async () => {
    const sandbox = await bench.start('true', { hostname: '' });
    // To the letter: on the console, where it also stands, it begins with `init: `.
    expect(await sandbox.exited).toMatchObject({
      cause: 'sandbox-failed',
      message: 'the guest was given no host name',
    });
  });

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
    const status = () => machinesOf(process.pid).map((id) => readFileSync(`/proc/${id}/status`, 'utf8'));
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
    const [machine = 0] = machinesOf(process.pid);
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
    expect(lives(machine)).toBe(false);
  });

  test('has the right time within a second, however often its clock goes wrong', async () => {
    clockErrorMilliseconds = 3_600_000;
    // The time is told four times as often as the guest could bear to hear nothing.
    const sandbox = await bench.start(tellsTime, { silenceSeconds: 4 });
    await sandbox.started;
    for (const errorSeconds of [3600, 0, -600, 7, 0]) {
      clockErrorMilliseconds = errorSeconds * 1000;
      const off = async () => Math.abs((await clockOffset(sandbox)).offsetSeconds - errorSeconds);
      await expect.poll(off, { timeout: 5_000 }).toBeLessThan(1);
    }
  });

  test('whose QEMU is killed ends with its words', async () => {
    const sandbox = await bench.start('echo ready >&3; sleep 600');
    await untilItWrites(sandbox, 'ready');
    const [machine] = machinesOf(process.pid);
    expect(machine).toBeDefined();
    if (machine !== undefined) process.kill(machine, 'SIGKILL');
    expect(await sandbox.exited).toMatchObject({
      exitCode: null,
      cause: 'sandbox-failed',
      message: expect.stringContaining('SIGKILL'),
    });
  });

  test('whose QEMU stands still, while nobody here wants that, ends', async () => {
    const sandbox = await bench.start('echo ready >&3; sleep 600');
    await untilItWrites(sandbox, 'ready');
    const [machine] = machinesOf(process.pid);
    const stoppedAt = performance.now();
    if (machine !== undefined) process.kill(machine, 'SIGSTOP');
    expect(await exitWhileAsked(sandbox)).toMatchObject({
      cause: 'guest-panic',
      message: expect.stringMatching(/answered nothing for 2\d s.* took 0 s of processor time.* stood still/),
    });
    expect(performance.now() - stoppedAt).toBeGreaterThan(answerPatienceMilliseconds);
  });
});

describe('the end of a guest', { timeout: timeoutMilliseconds }, () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-hostile-init-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A program for the initramfs. */
  async function compiled(sources: readonly string[]): Promise<Buffer> {
    await compile(sources, join(folder, 'program'));
    return readFileSync(join(folder, 'program'));
  }

  /** A guest whose first process is another one. Where it is to go on as it should, our own is at `/own-init`. */
  async function guestWithInit(source: string): Promise<Guest> {
    const guest = await ensureGuest({ cacheDirectory: cache, report: () => {} });
    writeFileSync(join(folder, 'init.c'), source);
    await compileInit(join(folder, 'own-init'));
    const addition = join(folder, 'addition');
    await writeInitramfs(addition, [
      { path: '/init', contents: await compiled([join(folder, 'init.c')]) },
      { path: '/own-init', contents: readFileSync(join(folder, 'own-init')) },
    ]);
    // Linux unpacks one archive after the other, and later files replace earlier ones.
    const initramfsPath = join(folder, 'initramfs');
    writeFileSync(
      initramfsPath,
      Buffer.concat([guest.initramfsPath, addition].map((path) => readFileSync(path))),
    );
    return { ...guest, initramfsPath };
  }

  async function exitWithInit(source: string, script = 'exit 0') {
    const guest = await guestWithInit(source);
    const bench = await SandboxBench.open((sandboxes) =>
      createVmIsolation({ guest, folder: sandboxes, cacheDirectory: cache, answerPatienceMilliseconds }),
    );
    const sandbox = await bench.start(script);
    const begun = sandbox.started.then(
      () => {
        sandbox.channel.write('begin\n');
        return true;
      },
      () => false,
    );
    const exit = await exitWhileAsked(sandbox);
    const hasStarted = await begun;
    await bench.close();
    return { ...exit, hasStarted };
  }

  /** Of a container that makes a file once its runner knows that it has started. */
  const beginning = 'read _ <&3; touch /begun; sleep 600';
  /** Waits for that file, beside our own init, which knows nothing of it. */
  const beside = `
      #include <fcntl.h>
      #include <sched.h>
      #include <sys/mount.h>
      #include <sys/stat.h>
      #include <unistd.h>
      static void until_begun(void) {
        mkdir("/kernel", 0700);
        mount("proc", "/kernel", "proc", 0, 0);
        while (access("/kernel/1/root/run/bundle/rootfs/begun", F_OK) != 0) usleep(10000);
      }`;

  test('by its first process having ended is told as a panic, with the end of the console', async () => {
    expect(await exitWithInit('int main(void) { return 7; }')).toMatchObject({
      hasStarted: false,
      exitCode: null,
      cause: 'guest-panic',
      message: expect.stringContaining('Attempted to kill init'),
    });
  });

  test('by a panic of its kernel in the middle of a run is told, with the words of the kernel', async () => {
    const source = `${beside}
      int main(void) {
        if (fork() != 0) return execl("/own-init", "init", (char *)0);
        until_begun();
        return write(open("/kernel/sysrq-trigger", O_WRONLY), "c", 1) == 1;
      }`;
    expect(await exitWithInit(source, beginning)).toMatchObject({
      hasStarted: true,
      exitCode: null,
      cause: 'guest-panic',
      message: expect.stringMatching(/^.*Kernel panic - not syncing: sysrq triggered crash/),
    });
  });

  test('that does not end, but answers nobody any more, is made by its runner', async () => {
    // Takes the only processor for ever, before everything else.
    const source = `${beside}
      int main(void) {
        if (fork() != 0) return execl("/own-init", "init", (char *)0);
        until_begun();
        struct sched_param highest = {.sched_priority = 99};
        if (write(open("/kernel/sys/kernel/sched_rt_runtime_us", O_WRONLY), "-1", 2) != 2) return 1;
        if (sched_setscheduler(0, SCHED_FIFO, &highest) != 0) return 1;
        for (;;) continue;
      }`;
    expect(await exitWithInit(source, beginning)).toMatchObject({
      hasStarted: true,
      cause: 'guest-panic',
      message: expect.stringMatching(/answered nothing for 2\d s.* of processor time meanwhile: .*busy/),
    });
  });

  test('by powering off is told', async () => {
    const source = '#include <sys/reboot.h>\nint main(void) { reboot(RB_POWER_OFF); }';
    expect(await exitWithInit(source)).toMatchObject({ exitCode: null, cause: 'guest-powered-off' });
  });
});

describe('a virtual machine whose runner', { timeout: timeoutMilliseconds }, () => {
  /** Its silence (fixtures/vm-runner.ts), and the second that ending takes at most. */
  const inTimeMilliseconds = 5_000;
  let runner: ChildProcess | undefined;
  let machine: number | undefined;
  let folder = '';
  async function startRunner(...args: string[]): Promise<{ runner: ChildProcess; machine: number }> {
    const path = fileURLToPath(new URL('./fixtures/vm-runner.ts', import.meta.url));
    runner = spawn(nodePath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = runner.stdout ? await once(runner.stdout, 'data') : [];
    folder = JSON.parse(String(line)).folder;
    [machine] = machinesOf(runner.pid ?? 0);
    if (machine === undefined) throw new Error('the runner has started no machine');
    return { runner, machine };
  }
  afterEach(() => {
    runner?.kill('SIGKILL');
    if (machine !== undefined && lives(machine)) process.kill(machine, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  test('is killed dies with it', async () => {
    const { runner, machine } = await startRunner();
    runner.kill('SIGKILL');
    expect(await untilDead(machine)).toBeLessThan(2_000);
    expect(readdirSync(join(folder, 'sandboxes'))).toEqual([]);
  });

  test('falls silent switches itself off', async () => {
    const { runner, machine } = await startRunner();
    runner.kill('SIGSTOP');
    expect(await untilDead(machine)).toBeLessThan(inTimeMilliseconds);
    // Not by being killed: the runner still is there.
    expect(runner.exitCode).toBeNull();
  });

  test('is gone, without its death having reached the machine, switches itself off', async () => {
    const { runner, machine } = await startRunner('apart');
    runner.kill('SIGKILL');
    expect(await untilDead(machine)).toBeLessThan(inTimeMilliseconds);
  });
});
