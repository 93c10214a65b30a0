import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { nodePath } from '../src/setup/repository.ts';
import { clockOffset, tellsTime } from '../src/testing/guest-clock.ts';
import { isAlive, machinesBelow } from '../src/testing/host-processes.ts';
import { openVmBench, vmTimeoutMilliseconds } from '../src/testing/vm-bench.ts';

async function untilDead(id: number): Promise<number> {
  const start = performance.now();
  while (isAlive(id)) await sleep(20);
  return performance.now() - start;
}

test('a virtual machine has the right time within a second, however often its clock goes wrong', {
  timeout: vmTimeoutMilliseconds,
}, async () => {
  let errorSeconds = 3600;
  const bench = await openVmBench({ now: () => Date.now() + errorSeconds * 1000 });
  try {
    // The time is told four times as often as the guest could bear to hear nothing.
    const sandbox = await bench.start(tellsTime, { silenceSeconds: 4 });
    await sandbox.started;
    for (errorSeconds of [3600, 0, -600, 7, 0]) {
      const off = async () => Math.abs((await clockOffset(sandbox)).offsetSeconds - errorSeconds);
      await expect.poll(off, { timeout: 5_000 }).toBeLessThan(1);
    }
  } finally {
    await bench.close();
  }
});

describe('a virtual machine whose runner', { timeout: vmTimeoutMilliseconds }, () => {
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
    [machine] = machinesBelow(runner.pid ?? 0);
    if (machine === undefined) throw new Error('the runner has started no machine');
    return { runner, machine };
  }
  afterEach(() => {
    runner?.kill('SIGKILL');
    if (machine !== undefined && isAlive(machine)) process.kill(machine, 'SIGKILL');
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
