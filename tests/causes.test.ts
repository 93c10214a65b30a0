import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DeadlyRuns, endOf } from './testing/deadly-runs.ts';
import { type SlipwayUnderTest, startSlipway } from './testing/slipway.ts';

/** Deaths as users meet them: of commands and programs in a real sandbox, told by the API and in the log. */
let slipway: SlipwayUnderTest;
let runs: DeadlyRuns;

beforeAll(async () => {
  slipway = await startSlipway({ runners: 2, memoryMib: 1024, volumeGib: 1, cancelGraceSeconds: 5 });
  runs = await DeadlyRuns.of(slipway);
}, 120_000);

afterAll(() => slipway?.close());

const takesMemory = `node -e 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))'`;
const fillsHeap = `node --max-old-space-size=30 -e 'const all = []; for (;;) all.push(Array(1000).fill({}))'`;

describe.concurrent('the end of a run that', { timeout: 180_000 }, () => {
  test.each([
    {
      what: 'takes more memory than its sandbox has',
      command: takesMemory,
      cause: 'out-of-memory',
      message:
        /killed the process "node", which used 9\d\d MiB, at the memory limit of 1,024 MiB; the peak was 1,02\d MiB/,
    },
    {
      what: 'has a process that reaches the limit of its own heap',
      command: fillsHeap,
      cause: 'heap-limit',
      message: /Node\.js reached the limit of its heap \(process \d+, with a heap of \d/,
    },
    {
      what: 'fills its volume',
      command: 'mkdir -p /tmp/build/output && dd if=/dev/zero of=/tmp/build/output/fill bs=1M',
      cause: 'disk-full',
      message: /The volume of 1 GiB is full\. The largest folders are \/tmp\/build\/output \(9\d\d MiB\)/,
    },
    {
      what: 'makes more files than its volume can hold',
      command: 'mkdir /tmp/many && cd /tmp/many && seq 70000 | xargs touch',
      cause: 'inodes-exhausted',
      message: /holds 65,5\d\d files, and all are made\. Most are in \/tmp\/many \(6\d,\d{3} files\)/,
    },
    {
      what: 'starts more processes than its sandbox allows',
      command: 'mkfifo /tmp/never && exec 3<> /tmp/never; while :; do (read line <&3) & done',
      cause: 'process-limit',
      message: /the kernel refused to start more processes and threads, 8192 of which the sandbox allows/,
      sandbox: { size: { memoryMiB: 4096 } },
    },
    {
      what: 'takes longer than it may',
      command: 'sleep 600',
      cause: 'timed-out',
      message: /^It took longer than its limit of 10 s\. The step "Pre-run command" was interrupted\.$/,
      sandbox: { timeLimits: { runSeconds: 10 } },
    },
    {
      what: 'kills its executor',
      command: 'kill -KILL $PPID; sleep 600',
      cause: 'executor-crashed',
      message: /SIGKILL|137/,
    },
    {
      what: 'has a command that fails',
      command: 'exit 3',
      cause: 'program-error',
      message: /"Pre-run command" failed with exit code 3\.$/,
    },
  ])('$what is told as $cause', async ({ command, cause, message, sandbox }) => {
    const end = await endOf(await runs.deploy(command, sandbox));
    expect(end).toMatchObject({ outcome: 'failed', cause });
    expect(end.message).toMatch(message);
    // The log ends with the same words, between what the cause means and what to do.
    expect(end.lastLine).toContain(end.message);
  });
});
