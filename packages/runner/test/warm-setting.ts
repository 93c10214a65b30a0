import type { ContractRun } from '../src/testing/contract-run.ts';
import type { HeldSandbox } from '../src/testing/held-isolation.ts';
import { line, plan, step, succeeded } from './executor-frames.ts';
import { eventually, type RunSetting } from './run-setting.ts';

/** One sandbox is kept waiting, of the default image. */
export const warm = { count: 1, images: [] };

/** The `count`-th sandbox, whose executor waits. */
export async function waiting(setting: RunSetting, count: number): Promise<HeldSandbox> {
  const sandbox = await setting.isolation.sandbox(count);
  sandbox.say({ type: 'ready' });
  return sandbox;
}

/** The executor goes through a run of one step and one line. */
export async function carryOut(sandbox: HeldSandbox, run: ContractRun): Promise<void> {
  await eventually(() => jobs(sandbox).length > 0);
  sandbox.say(plan('Get source'), step(0, 'running'), line('Cloning'), step(0, 'succeeded'), succeeded);
  await eventually(() => run.finish);
}

export function jobs(sandbox: HeldSandbox): string[] {
  return sandbox.received.flatMap((frame) => (frame.type === 'job' ? [frame.job.runId] : []));
}
