import { afterAll, beforeAll, expect, test } from 'vitest';
import { machinesBelow } from '../packages/runner/src/testing/host-processes.ts';
import { DeadlyRuns, endOf } from './testing/deadly-runs.ts';
import { type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

/** Where a virtual machine makes the difference: its kernel tells, and it may answer nobody any more. */
let slipway: SlipwayUnderTest;
let runs: DeadlyRuns;
const timeoutMilliseconds = 300_000;

beforeAll(async () => {
  slipway = await startSlipway({
    isolation: 'vm',
    cpus: 1,
    memoryMib: 1024,
    volumeGib: 4,
    cancelGraceSeconds: 2,
  });
  runs = await DeadlyRuns.of(slipway);
}, timeoutMilliseconds);

afterAll(() => slipway?.close());

test(
  'a run that needs more memory than its machine has is told with the process that was killed',
  async () => {
    const command = `node -e 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))'`;
    const end = await endOf(await runs.deploy(command));
    expect(end).toMatchObject({ outcome: 'failed', cause: 'out-of-memory' });
    expect(end.message).toMatch(
      /killed the process "node", which used [678]\d\d MiB, at the memory limit of [789]\d\d MiB, which a sandbox of 1,024 MiB leaves to the run; the peak was [789]\d\d MiB/,
    );
    expect(end.lastLine).toContain(end.message);
  },
  timeoutMilliseconds,
);

test(
  'a run that has no memory left for the programs that it executes ends: nobody waits for hours for it',
  async () => {
    // So small that in the end pages of files give way to it one by one, and are read again at once.
    const command = `node -e 'const all = []; for (;;) all.push(Buffer.alloc(1 << 16, 1))'`;
    const end = await endOf(await runs.deploy(command, { size: { memoryMiB: 512 } }));
    expect(end).toMatchObject({ outcome: 'failed', cause: 'out-of-memory' });
    expect(end.message).toMatch(/killed the process "node", .* at the memory limit of [34]\d\d MiB/);
  },
  timeoutMilliseconds,
);

test(
  'a command that does not obey is killed after its grace by the executor: its timers run, however slowly it started',
  async () => {
    const deployment = await runs.deploy('trap "" INT TERM; echo "at work"; sleep 600');
    await deployment.logged(/^at work$/);
    await deployment.cancel();
    const end = await endOf(deployment);
    expect(end).toMatchObject({ outcome: 'failed', cause: 'cancelled' });
    expect(end.message).toContain('The step "Pre-run command" was interrupted.');
  },
  timeoutMilliseconds,
);

test(
  'a machine that answers nobody any more is held to its time limits all the same',
  async () => {
    const deployment = await runs.deploy('echo "at work"; sleep 600', { timeLimits: { silenceSeconds: 10 } });
    await deployment.logged(/^at work$/);
    const machines = machinesBelow(process.pid);
    expect(machines).toHaveLength(1);
    for (const machine of machines) process.kill(machine, 'SIGSTOP');
    const end = await endOf(deployment);
    expect(end).toMatchObject({ outcome: 'failed', cause: 'timed-out' });
    expect(end.message).toMatch(/wrote no line .* 10 s\. It did not end within its grace of 2 s/);
    expect(machinesBelow(process.pid)).toEqual([]);
  },
  timeoutMilliseconds,
);
