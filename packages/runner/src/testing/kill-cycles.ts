import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { removeOrphans } from '../isolation/orphans.ts';
import { SandboxNames } from '../isolation/sandbox-names.ts';
import { nodePath } from '../setup/repository.ts';
import { hostTraces } from './host-traces.ts';

const goneDeadlineMilliseconds = 10_000;

export interface KillCycles {
  readonly isolation: 'container' | 'vm';
  readonly count: number;
  /** The kill comes at a random time up to this one after the process has begun to start sandboxes and end them. */
  readonly spreadMilliseconds: number;
  readonly report: (line: string) => void;
}

/**
 * Kills a process, again and again, that starts sandboxes and ends them, and sweeps after it as the next runner would.
 * Rejects with what is left on the host then. Answers how often there was something to sweep.
 */
export async function killAgainAndAgain({ isolation, count, spreadMilliseconds, report }: KillCycles) {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-kills-'));
  const volumes = join(folder, 'volumes');
  mkdirSync(volumes);
  let swept = 0;
  try {
    for (let cycle = 1; cycle <= count; cycle += 1) {
      const begunFolder = mkdtempSync(join(folder, 'maker-'));
      const maker = await startMaker(isolation, volumes, begunFolder);
      const milliseconds = Math.random() * spreadMilliseconds;
      await sleep(milliseconds);
      maker.kill('SIGKILL');
      await once(maker, 'exit');
      const removed = await removeOrphans(new SandboxNames(volumes));
      if (removed.length > 0) swept += 1;
      await untilNothingIsLeft(folder, volumes, `killed after ${milliseconds.toFixed()} ms`);
      report(
        `${cycle}: killed after ${milliseconds.toFixed()} ms; swept: ${removed.join(', ') || 'nothing'}`,
      );
      rmSync(begunFolder, { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { swept };
}

/** Every process below it has `ownFolder` in its path of programs, by which it is found. */
async function startMaker(isolation: string, volumes: string, ownFolder: string): Promise<ChildProcess> {
  const path = fileURLToPath(new URL('./kill-cycles-maker.ts', import.meta.url));
  const maker = spawn(nodePath, [path, isolation, volumes], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: ownFolder, PATH: `${process.env.PATH}:${ownFolder}` },
  });
  await Promise.race([
    once(maker.stdout, 'data'),
    once(maker, 'exit').then(() => {
      throw new Error('the process that starts sandboxes could not begin');
    }),
  ]);
  maker.stdout.resume();
  return maker;
}

async function untilNothingIsLeft(folder: string, volumes: string, when: string): Promise<void> {
  const { identity } = new SandboxNames(volumes);
  const look = () => [
    ...hostTraces([folder, identity], volumes).filter((line) => !/^(process|open file) /.test(line)),
    ...processesOf(folder, identity),
  ];
  const deadline = performance.now() + goneDeadlineMilliseconds;
  while (look().length > 0) {
    if (performance.now() > deadline) throw new Error(`${when}, it left:\n${look().join('\n')}`);
    await sleep(50);
  }
}

function processesOf(...marks: string[]): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((id) => {
      try {
        const command = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ');
        const all = command + readFileSync(`/proc/${id}/environ`, 'utf8');
        return marks.some((mark) => all.includes(mark)) ? [`process ${id} ${command}`] : [];
      } catch {
        return []; // It has ended.
      }
    });
}
