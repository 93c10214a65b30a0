import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';

const told = z.object({ folder: z.string(), traces: z.array(z.string()) });

export interface Maker extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly folder: string;
  /** What of its container is on the host. */
  readonly traces: readonly string[];
}

/** Another process that has a container. */
export async function startMaker(isolation: 'container' | 'gvisor'): Promise<Maker> {
  const program = join(import.meta.dirname, 'fixtures/container-maker.ts');
  const maker = spawn(process.execPath, [program, isolation], { stdio: ['ignore', 'pipe', 'inherit'] });
  let line = '';
  for await (line of createInterface({ input: maker.stdout })) break;
  const { folder, traces } = told.parse(JSON.parse(line));
  return {
    ...{ process: maker, folder, traces },
    async [Symbol.asyncDispose]() {
      if (maker.kill('SIGKILL')) await once(maker, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The ids of its processes of this name. */
export function processesOf(traces: readonly string[], name: RegExp): string[] {
  return traces.flatMap((trace) => {
    const [, id, command = ''] = /^process (\d+) (.*)$/.exec(trace) ?? [];
    return id !== undefined && name.test(command) ? [id] : [];
  });
}

export function isAlive(process: string): boolean {
  const stat = join('/proc', process, 'stat');
  return existsSync(stat) && !/\) [ZX] /.test(readFileSync(stat, 'utf8'));
}
