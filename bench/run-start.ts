import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { SandboxSize } from '@slipway/core';
import {
  cacheDirectory,
  createImageStore,
  defaultImageReference,
  ensureGuest,
  ensureToolbox,
} from '@slipway/runner';
import { type SlipwayUnderTest, startSlipway } from '../tests/testing/slipway.ts';
import { type Benchmark, middleRound, type Round } from './benchmark.ts';

const run = promisify(execFile);
const rounds = 9;
const size = { cpus: 2, memoryMiB: 8192, volumeGiB: 32 };
/** More often, and the questions would take the processor time that they measure. */
const pollMilliseconds = 50;

export const runStart: Benchmark = {
  name: 'run-start',
  description: `from the API's 202 to the executor's first log line, in a VM, against bare QEMU and crun (middle of ${rounds} rounds)`,
  maximumRatio: 1.15,
  measure: async (report) => {
    const reference = await referenceCommand(size);
    const slipway = await startSlipway({
      isolation: 'vm',
      cpus: size.cpus,
      memoryMib: size.memoryMiB,
      volumeGib: size.volumeGiB,
    });
    try {
      await prepareStack(slipway);
      const measured: Round[] = [];
      // The first round of each warms the page cache.
      for (let round = 0; round <= rounds; round += 1) {
        const bare = await timeReference(reference);
        const { seconds, phases } = await timeRun(slipway);
        const phaseList = Object.entries(phases).map(([name, took]) => `${name} ${Math.round(took)}`);
        report(
          `round ${round}: ${seconds.toFixed(2)} s, reference ${bare.toFixed(2)} s (ms: ${phaseList.join(', ')})`,
        );
        if (round > 0) measured.push({ ours: seconds, reference: bare });
      }
      return { ...middleRound(measured), unit: 's' };
    } finally {
      await slipway.close();
    }
  },
};

/** The script of the reference with its arguments, for machines of this size. */
export async function referenceCommand(size: SandboxSize): Promise<string[]> {
  const cache = { cacheDirectory: cacheDirectory(process.env), report: () => undefined };
  const guest = await ensureGuest(cache);
  const image = await createImageStore(cache).resolve(defaultImageReference);
  const toolbox = await ensureToolbox(cache);
  const { stdout: tscKiloHertz } = await run(guest.tscRatePath);
  return [
    join(import.meta.dirname, 'run-start-reference.sh'),
    ...[guest.kernelPath, guest.initramfsPath, image.erofsPath, toolbox.erofsPath, tscKiloHertz.trim()],
    ...[size.cpus, size.memoryMiB, size.volumeGiB].map(String),
  ];
}

/** Seconds from the start of the script to the line that Node prints in it. */
async function timeReference([script = '', ...rest]: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn(script, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let seconds = Number.NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('reference: hello')) seconds = (performance.now() - start) / 1000;
  }
  await exited;
  if (Number.isNaN(seconds))
    throw new Error('The reference printed nothing; run its script by hand to see why.');
  return seconds;
}

export const stackPath = '/api/stacks/local/bench/dev';

export async function prepareStack(slipway: SlipwayUnderTest): Promise<void> {
  await slipway.publish();
  await slipway.api('POST', '/api/stacks/local/bench', { stackName: 'dev' });
  await slipway.api('PUT', `${stackPath}/deployments/settings`, {
    sourceContext: { git: { repoUrl: slipway.repositoryUrl, branch: 'main' } },
  });
}

interface LogPage {
  readonly lines: readonly { readonly header?: string; readonly line?: string }[];
}

/** Seconds from the 202 to the first readable line after the header of the executor's first step. */
export async function timeRun(
  slipway: SlipwayUnderTest,
): Promise<{ seconds: number; phases: Record<string, number> }> {
  const created = await slipway.api('POST', `${stackPath}/deployments`, { operation: 'update' });
  const start = performance.now();
  if (created.status !== 202)
    throw new Error(`The deployment was not queued: ${JSON.stringify(created.json)}`);
  const { id } = created.json as { id: string };
  for (;;) {
    const { json } = await slipway.api('GET', `${stackPath}/deployments/${id}/logs`);
    const { lines } = json as LogPage;
    const header = lines.findIndex((line) => line.header === 'Get source');
    if (header >= 0 && lines.slice(header).some((line) => line.line !== undefined)) break;
    if (performance.now() - start > 120_000) {
      const { json: run } = await slipway.api('GET', `/api/slipway/runs/${id}`);
      throw new Error(`No line of the executor came in two minutes: ${JSON.stringify(run)}`);
    }
    await sleep(pollMilliseconds);
  }
  const seconds = (performance.now() - start) / 1000;
  // The run has no project, so it ends by itself; the next round must not overlap it.
  for (;;) {
    const { json } = await slipway.api('GET', `/api/slipway/runs/${id}`);
    const { state, phaseMilliseconds } = json as { state: string; phaseMilliseconds: Record<string, number> };
    if (state === 'finished') return { seconds, phases: phaseMilliseconds };
    await sleep(50);
  }
}
