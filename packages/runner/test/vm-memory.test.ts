import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { compileInit } from '../src/guest/compile.ts';
import { changedGuest } from '../src/testing/changed-guest.ts';
import { type SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';
import { openVmBench, ownGuest, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

/** Whose memory runs out makes a difference to what a user can do about it. The container's is in vm-conformance. */
let bench: SandboxBench;
beforeAll(async () => {
  bench = await openVmBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const takes = (mebibytes: number) => `dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1`;

test(
  'a guest whose kernel has no memory left tells so, and which process it killed',
  async () => {
    // An init that lets the container have more than the machine has.
    const init = join(bench.folder, 'init');
    await compileInit(init, ['RESERVED_KIBIBYTES=(-1024*1024)']);
    const files = [{ path: '/init', contents: await readFile(init) }];
    await using generous = await openVmBench({
      guest: await changedGuest(await ownGuest(), bench.folder, files),
    });
    const sandbox = await generous.start(`${takes(400)}; exit 9`, { size: { memoryMiB: 256 } });
    const exit = await sandbox.exited;
    expect(exit).toMatchObject({ exitCode: 9, cause: 'guest-out-of-memory' });
    expect(exit.message).toMatch(/The kernel of the virtual machine, of 256 MiB, killed the process "dd"/);
  },
  vmTimeoutMilliseconds,
);

test(
  'a machine that the host kills for want of memory is told so',
  async () => {
    const sandbox = await bench.start(`echo ready >&3; read go <&3; ${takes(300)}; sleep 600`);
    await untilItWrites(sandbox, 'ready');
    const group = new MemoryGroup(`slipway-test-${process.pid}`);
    try {
      group.limitTo(await sandbox.hostProcess, 64);
      sandbox.channel.write('go\n');
      const exit = await sandbox.exited;
      expect(exit).toMatchObject({ cause: 'host-out-of-memory' });
      expect(exit.message).toContain('killed the virtual machine of 512 MiB');
    } finally {
      await bench.clear();
      group.remove();
    }
  },
  vmTimeoutMilliseconds,
);

test(
  'a machine that gets no memory from the host is told so',
  async () => {
    const sandbox = await bench.start('exit 0', { size: { memoryMiB: 1024 ** 3 } });
    await expect(sandbox.started).rejects.toThrow('Cannot allocate memory');
    expect(await sandbox.exited).toMatchObject({ cause: 'host-out-of-memory' });
  },
  vmTimeoutMilliseconds,
);

/** A control group of this host, as an operator may have set one around a runner. */
class MemoryGroup {
  readonly #directory: string;
  readonly #limitFile: string;

  constructor(name: string) {
    const versionOne = '/sys/fs/cgroup/memory';
    this.#directory = join(existsSync(versionOne) ? versionOne : '/sys/fs/cgroup', name);
    this.#limitFile = existsSync(versionOne) ? 'memory.limit_in_bytes' : 'memory.max';
    mkdirSync(this.#directory);
  }

  /** What the process has already does not count here, but what it takes from now on. */
  limitTo(processId: number, mebibytes: number): void {
    writeFileSync(join(this.#directory, this.#limitFile), String(mebibytes * 1024 ** 2));
    writeFileSync(join(this.#directory, 'cgroup.procs'), String(processId));
    expect(readFileSync(join(this.#directory, 'cgroup.procs'), 'utf8').trim()).toBe(String(processId));
  }

  remove(): void {
    rmdirSync(this.#directory);
  }
}
