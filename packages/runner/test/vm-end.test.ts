import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SandboxSize } from '@slipway/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compile } from '../src/guest/compile.ts';
import type { Guest } from '../src/guest/ensure-guest.ts';
import type { Sandbox, SandboxExit } from '../src/isolation/isolation.ts';
import { findOnPath } from '../src/setup/path-search.ts';
import { changedGuest, guestWithInit } from '../src/testing/changed-guest.ts';
import { machinesBelow } from '../src/testing/host-processes.ts';
import { type SandboxBench, untilItWrites } from '../src/testing/sandbox-bench.ts';
import { openVmBench, ownGuest, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

/** The product's is longer. */
const answerPatienceMilliseconds = 8_000;
const forAsLong = 'answered nothing for ([89]|1\\d) s';

/** How it ends while it is asked each second what it uses, as runs do; to boot may take longer than it may be silent. */
async function exitWhileAsked(sandbox: Sandbox): Promise<SandboxExit> {
  let asking: NodeJS.Timeout | undefined;
  const ask = () => {
    asking = setInterval(() => void sandbox.usage(), 1_000);
  };
  void sandbox.started.then(ask, () => undefined);
  return sandbox.exited.finally(() => clearInterval(asking));
}

describe('a virtual machine', { timeout: vmTimeoutMilliseconds }, () => {
  let bench: SandboxBench;
  beforeAll(async () => {
    bench = await openVmBench({ answerPatienceMilliseconds });
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

  test('whose QEMU is killed ends with its words', async () => {
    const sandbox = await bench.start('echo ready >&3; sleep 600');
    await untilItWrites(sandbox, 'ready');
    const [machine] = machinesBelow(process.pid);
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
    const [machine] = machinesBelow(process.pid);
    const stoppedAt = performance.now();
    if (machine !== undefined) process.kill(machine, 'SIGSTOP');
    expect(await exitWhileAsked(sandbox)).toMatchObject({
      cause: 'guest-panic',
      message: expect.stringMatching(new RegExp(`${forAsLong}.* took 0 s of processor time.* stood still`)),
    });
    expect(performance.now() - stoppedAt).toBeGreaterThan(answerPatienceMilliseconds);
  });
});

describe('the end of a guest', { timeout: vmTimeoutMilliseconds }, () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-hostile-init-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A file with this C source. */
  function sourceFile(source: string): string {
    const path = join(folder, 'program.c');
    writeFileSync(path, source);
    return path;
  }

  interface Differences {
    readonly size?: Partial<SandboxSize>;
    readonly answerPatienceMilliseconds?: number;
  }

  async function exitOf(guest: Guest, script: string, { size, ...patience }: Differences = {}) {
    const bench = await openVmBench({ guest, ...patience });
    const sandbox = await bench.start(script, { size });
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

  async function exitWithInit(source: string, script = 'exit 0', differences: Differences = {}) {
    return exitOf(await guestWithInit(await ownGuest(), folder, [sourceFile(source)]), script, differences);
  }

  /** Our own crun is at `/bin/own-crun`. */
  async function exitWithCrun(source: string, script: string) {
    const program = join(folder, 'program');
    await compile([sourceFile(source)], program);
    const files = [
      { path: '/bin/crun', contents: readFileSync(program) },
      { path: '/bin/own-crun', contents: readFileSync((await findOnPath('crun')) ?? '') },
    ];
    return exitOf(await changedGuest(await ownGuest(), folder, files), script);
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
    expect(
      await exitWithInit(source, beginning, { size: { cpus: 1 }, answerPatienceMilliseconds }),
    ).toMatchObject({
      hasStarted: true,
      cause: 'guest-panic',
      message: expect.stringMatching(new RegExp(`${forAsLong}.* of processor time meanwhile: .*busy`)),
    });
  });

  test('by powering off is told', async () => {
    const source = '#include <sys/reboot.h>\nint main(void) { reboot(RB_POWER_OFF); }';
    expect(await exitWithInit(source)).toMatchObject({ exitCode: null, cause: 'guest-powered-off' });
  });

  test('whose container cannot be started is told with the words of crun', async () => {
    const source = `
      #include <unistd.h>
      int main(void) { return write(2, "no container today", 18) == 18 ? 1 : 2; }`;
    expect(await exitWithCrun(source, 'true')).toMatchObject({
      hasStarted: false,
      cause: 'sandbox-failed',
      message: 'the container could not be started: no container today',
    });
  });

  test('by its container having ended is told, also where that was over before crun, which had started it', async () => {
    const source = `
      #include <sys/wait.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        (void)count;
        if (fork() == 0) return execv("/bin/own-crun", arguments);
        int status = 0;
        wait(&status);
        sleep(1);
        return WEXITSTATUS(status);
      }`;
    expect(await exitWithCrun(source, 'exit 5')).toMatchObject({ hasStarted: true, exitCode: 5 });
  });
});
