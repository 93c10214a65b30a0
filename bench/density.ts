import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSlipway } from '../tests/testing/slipway.ts';
import type { Benchmark } from './benchmark.ts';
import { family, proportionalMegabytes } from './host-processes.ts';
import { referenceCommand } from './run-start.ts';

const sandboxes = 3;
const size = { cpus: 1, memoryMiB: 512, volumeGiB: 4 };
const hostMegabytes = 8192 * 1.048_576;
const settleMilliseconds = 10_000;
/** Node waits, as the executor does. */
const idleScript = "console.log('reference: hello'); setInterval(() => {}, 3600000)";

/**
 * How many idle sandboxes fit into 8 GB of a host, by what a few of them really take with all that serves them: QEMU,
 * network, resolver. As many bare machines run Node in crun, without any of that.
 */
export const density: Benchmark = {
  name: 'density',
  description: `memory (summed PSS) of an idle sandbox of 512 MiB with all its processes, against bare QEMU with Node in crun (${sandboxes} of each): 0.9× as many fit`,
  maximumRatio: 1 / 0.9,
  measure: async (report) => {
    const ours = await megabytesOfOurs(report);
    const reference = await megabytesOfReference(report);
    const fitting = (megabytes: number) => Math.floor(hostMegabytes / megabytes);
    report(`into 8 GB fit ${fitting(ours)} sandboxes, and ${fitting(reference)} bare machines`);
    return { ours, reference, unit: 'MB' };
  },
};

async function megabytesOfOurs(report: (line: string) => void): Promise<number> {
  const slipway = await startSlipway({
    ...{ isolation: 'vm', cpus: size.cpus, memoryMib: size.memoryMiB, volumeGib: size.volumeGiB },
    warm: sandboxes,
  });
  try {
    while (slipway.warmSandboxes < sandboxes) await sleep(50);
    await sleep(settleMilliseconds);
    return await megabytesOfEach('sandbox', report);
  } finally {
    await slipway.close();
  }
}

async function megabytesOfReference(report: (line: string) => void): Promise<number> {
  const [script = '', ...rest] = await referenceCommand(size);
  const machines: ChildProcess[] = [];
  try {
    for (let count = 0; count < sandboxes; count += 1) machines.push(await idleMachine(script, rest));
    await sleep(settleMilliseconds);
    return await megabytesOfEach('bare machine', report);
  } finally {
    await Promise.all(machines.map(end));
  }
}

/** A machine of the reference whose Node has said that it runs. */
async function idleMachine(script: string, rest: readonly string[]): Promise<ChildProcess> {
  const machine = spawn(script, [...rest, idleScript], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: machine.stdout })) {
    if (line.includes('reference: hello')) return machine;
  }
  throw new Error('The reference ended; run its script by hand to see why.');
}

/** Ends what the script has started; it tidies up by itself then. */
async function end(machine: ChildProcess): Promise<void> {
  const exited = once(machine, 'exit');
  for (const { id, command } of await family(machine.pid ?? 0)) {
    if (command.startsWith('qemu')) process.kill(id, 'SIGKILL');
  }
  await exited;
}

/** Of this process, and not of a sandbox: the control plane's database, and what has bundled the executor. */
const others = ['postgres', 'esbuild'];

/** What all processes of sandboxes or machines take together, for one of them; told by program. */
async function megabytesOfEach(what: string, report: (line: string) => void): Promise<number> {
  const byProgram = new Map<string, number>();
  for (const { id, command } of await family(process.pid)) {
    const program = command.split(/[ :]/)[0]?.split('/').at(-1) ?? '';
    if (id === process.pid || others.includes(program)) continue;
    byProgram.set(program, (byProgram.get(program) ?? 0) + (await proportionalMegabytes(id)) / sandboxes);
  }
  for (const [program, megabytes] of byProgram)
    report(`${what}: ${megabytes.toFixed(1).padStart(6)} MB  ${program}`);
  return [...byProgram.values()].reduce((sum, megabytes) => sum + megabytes, 0);
}
