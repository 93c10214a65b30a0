import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createContainerIsolation } from '../src/isolation/container/container-isolation.ts';
import { explainExit } from '../src/isolation/container/exit-explanation.ts';
import { SandboxStartError } from '../src/isolation/isolation.ts';
import { outputOf, SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';
import { isAlive, processesOf, startMaker } from './container-maker.ts';

let bench: SandboxBench;
beforeAll(async () => {
  bench = await SandboxBench.open(async (folder) => createContainerIsolation({ folder }));
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

describe('a container', () => {
  test('shares the kernel of the host, and says so', async () => {
    const sandbox = await bench.start('cat /proc/sys/kernel/random/boot_id >&3');
    const boot = await sandbox.started;
    expect(boot.accelerated).toBeNull();
    expect(await outputOf(sandbox)).toBe(`${boot.bootId}\n`);
  });

  test('sees its own limits, so that programs inside can keep to them', async () => {
    // The files of cgroup v1 and v2; a host has one of them.
    const files = ['memory/memory.limit_in_bytes', 'memory.max', 'cpu/cpu.cfs_quota_us', 'cpu.max'];
    const sandbox = await bench.start(
      `cd /sys/fs/cgroup; cat ${files.join(' ')} pids/pids.max pids.max >&3 2>/dev/null; true`,
      { size: { memoryMiB: 300, cpus: 2 }, pidLimit: 77 },
    );
    const [memoryBytes, cpuQuotaMicroseconds, processes] = (await outputOf(sandbox)).split(
      /\s+(?:100000\n)?/,
    );
    expect(Number(memoryBytes)).toBe(300 * 1024 * 1024);
    expect(Number(cpuQuotaMicroseconds)).toBe(200_000);
    expect(Number(processes)).toBe(77);
  });

  test('has no capability that reaches around it, and a filter for system calls', async () => {
    const sandbox = await bench.start('grep -E "^(CapEff|CapBnd|Seccomp):" /proc/self/status >&3');
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot, setfcap
    expect(await outputOf(sandbox)).toBe(
      'CapEff:\t00000000800405fb\nCapBnd:\t00000000800405fb\nSeccomp:\t2\n',
    );
  });

  test('cannot open a socket past its network, nor read the log of the host kernel', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-system-call-'));
    const errnoOf = (call: string) => {
      // Calls the kernel itself, ends with the error number, and is small enough for a command line.
      const source = `
        static long call(long n, long a, long b, long c) {
          long answer;
          __asm__ volatile("syscall" : "=a"(answer) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
          return answer;
        }
        void _start(void) { long answer = call(${call}); call(60, answer < 0 ? -answer : 0, 0, 0); }`;
      const program = join(folder, 'program');
      const flags = ['-nostdlib', '-static', '-Os', '-s', '-Wl,--build-id=none,-z,noseparate-code'];
      execFileSync('gcc', [...flags, '-x', 'c', '-', '-o', program], { input: source });
      const text = readFileSync(program, 'base64');
      return `echo ${text} | base64 -d > /tmp/program; chmod +x /tmp/program; /tmp/program; echo $? >&3`;
    };
    const notPermitted = 1;
    // socket(AF_VSOCK, SOCK_STREAM, 0), and syslog(SYSLOG_ACTION_SIZE_BUFFER): numbers of x86-64.
    for (const call of ['41, 40, 1, 0', '103, 10, 0, 0']) {
      const sandbox = await bench.start(errnoOf(call));
      expect(await outputOf(sandbox)).toBe(`${notPermitted}\n`);
    }
    const allowed = await bench.start(errnoOf('41, 1, 1, 0'));
    expect(await outputOf(allowed)).toBe('0\n');
    rmSync(folder, { recursive: true });
  });

  test('that ends as soon as it has started is told to have done both, by each of many at once', async () => {
    const sandboxes = await Promise.all(Array.from({ length: 12 }, () => bench.start('exit 42')));
    for (const sandbox of sandboxes) {
      await sandbox.started;
      expect(await sandbox.exited).toMatchObject({ exitCode: 42, signal: null, message: '' });
    }
  });

  test('of which nothing starts fails with the reason, and leaves nothing behind', async () => {
    const before = bench.traces();
    const sandbox = await bench.start('true', { workingDirectory: '/proc/not-there' });
    await expect(sandbox.started).rejects.toThrow(SandboxStartError);
    const exit = await sandbox.exited;
    expect(exit).toMatchObject({ exitCode: null, cause: 'sandbox-failed' });
    expect(exit.message).toContain('not-there');
    await bench.clear();
    expect(bench.traces()).toEqual(before);
  });

  test('refuses a device whose name is a path, or that is none', async () => {
    const sandbox = await bench.start('sleep 600');
    await expect(sandbox.attach({ name: '../x', path: '/dev/null' })).rejects.toThrow(RangeError);
    await expect(sandbox.attach({ name: 'x', path: '/etc/passwd' })).rejects.toThrow(/mount/);
  });

  test('is destroyed within a second also when it has just written most of a gigabyte: the better of two', async () => {
    const milliseconds: number[] = [];
    for (let round = 0; round < 2; round += 1) {
      const write = 'dd if=/dev/zero of=/tmp/file bs=1M count=900; echo ready >&3; sleep 600';
      const sandbox = await bench.start(write, { size: { memoryMiB: 2048 } });
      await untilItWrites(sandbox, 'ready');
      milliseconds.push((await sandbox.destroy()).milliseconds);
    }
    expect(Math.min(...milliseconds)).toBeLessThanOrEqual(1000);
  });

  test('ends when its runner is stopped rather than killed, and not as long as that is there', async () => {
    await using maker = await startMaker('container');
    const ofContainer = processesOf(maker.traces, /^sleep$/);
    // The second of them may not be there yet.
    expect(ofContainer.length).toBeGreaterThan(0);
    // Twice its silence.
    await sleep(4_000);
    expect(ofContainer.every(isAlive)).toBe(true);
    maker.process.kill('SIGSTOP');
    const stoppedAt = performance.now();
    await expect.poll(() => ofContainer.some(isAlive), { timeout: 10_000, interval: 20 }).toBe(false);
    expect(performance.now() - stoppedAt).toBeLessThan(3_000);
  });

  test('goes when the runner is killed with SIGKILL, with all that it had', async () => {
    await using maker = await startMaker('container');
    const { folder, traces } = maker;
    const processes = traces.flatMap((trace) => /^process (\d+) /.exec(trace)?.[1] ?? []);
    const groups = traces.flatMap((trace) => /^cgroup (.*)/.exec(trace)?.[1] ?? []);
    expect(processes.length).toBeGreaterThan(5);
    expect(groups.length).toBeGreaterThan(0);
    maker.process.kill('SIGKILL');
    await once(maker.process, 'exit');

    const left = () => [
      ...processes.filter(isAlive),
      ...groups.filter((path) => existsSync(path)),
      ...loopFiles().filter((file) => file.includes(folder)),
      ...readdirSync(join(folder, 'sandboxes')),
    ];
    for (let round = 0; round < 100 && left().length > 0; round += 1) await sleep(20);
    expect(left()).toEqual([]);
  });
});

describe('the end of a container', () => {
  const spec = { size: { cpus: 1, memoryMiB: 512, volumeGiB: 2 } };
  const end = { started: true, status: 0, volume: null, lastOutput: '' };
  const none = { memory: null, processRefusals: 0, volume: null };

  test('by a signal is told with its name, by a full volume with that cause', () => {
    expect(explainExit({ ...end, status: 143 }, spec, none)).toMatchObject({
      exitCode: null,
      signal: 'SIGTERM',
    });
    const full = { ...none, volume: { freeBytes: 3, freeFiles: 9, totalFiles: 10, folders: [] } };
    expect(explainExit({ ...end, status: 1 }, spec, full)).toMatchObject({
      exitCode: 1,
      cause: 'disk-full',
      message: expect.stringContaining('2 GiB'),
    });
    expect(explainExit(end, spec, full)).toMatchObject({ exitCode: 0, cause: null });
  });
});

function loopFiles(): string[] {
  return readdirSync('/sys/block')
    .map((name) => join('/sys/block', name, 'loop/backing_file'))
    .flatMap((path) => (existsSync(path) ? [readFileSync(path, 'utf8')] : []));
}
